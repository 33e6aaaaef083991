#include "town/mind/recall.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "sim/world.h"
#include "town/content/json_file.h"

namespace throng::town {
namespace {

// Without plans: they are not recalled, and have embeddings of nothing.
bool IsRecalled(const Memory& memory) { return memory.kind != MemoryKind::kPlanned; }

std::vector<const Memory*> WithoutEmbedding(const TownMind& mind) {
  std::vector<const Memory*> memories = mind.memories.All();
  memories.erase(memories.begin(), memories.begin() + mind.embeddings.Size());
  return memories;
}

// Empty if it is none.
Embedding ParseEmbedding(const Json& json) {
  if (!json.is_array() || json.size() > Embeddings::kMostNumbers) return {};
  Embedding embedding;
  for (const Json& number : json) {
    if (!number.is_number_integer()) return {};
    const auto value = number.get<int64_t>();
    if (value < -127 || value > 127) return {};
    embedding.push_back(static_cast<int8_t>(value));
  }
  return embedding;
}

}  // namespace

llm::Request AskEmbeddings(const TownMind& mind, std::string_view query) {
  Json texts = Json::array({std::string(query)});
  for (const Memory* memory : WithoutEmbedding(mind)) {
    if (IsRecalled(*memory)) texts.push_back(memory->text);
  }
  const Json arguments = {{"texts", std::move(texts)}};
  llm::Request request =
      sim::ToolRequest("embed", arguments.dump(-1, ' ', false, Json::error_handler_t::replace));
  request.kind = llm::Kind::kEmbedding;
  return request;
}

std::optional<Embedding> TakeEmbeddings(const std::string& answer, TownMind& mind) {
  const Json json = Json::parse(answer, nullptr, false);
  if (!json.is_array() || json.empty()) return std::nullopt;
  std::vector<Embedding> embeddings;
  for (const Json& one : json) embeddings.push_back(ParseEmbedding(one));
  const size_t numbers =
      mind.embeddings.Size() > 0 ? mind.embeddings.NumNumbers() : embeddings.front().size();
  const auto fits = [&](const Embedding& one) { return !one.empty() && one.size() == numbers; };
  const std::vector<const Memory*> memories = WithoutEmbedding(mind);
  const auto recalled = std::count_if(memories.begin(), memories.end(),
                                      [](const Memory* memory) { return IsRecalled(*memory); });
  if (embeddings.size() != static_cast<size_t>(recalled) + 1 ||
      !std::all_of(embeddings.begin(), embeddings.end(), fits)) {
    return std::nullopt;
  }
  size_t next = 1;
  for (const Memory* memory : memories) {
    mind.embeddings.Append(IsRecalled(*memory) ? embeddings[next++] : Embedding(numbers));
  }
  return std::move(embeddings.front());
}

}  // namespace throng::town
