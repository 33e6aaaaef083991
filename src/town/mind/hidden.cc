#include "town/mind/hidden.h"

#include <algorithm>

#include "base/error.h"

namespace throng::town {
namespace {

bool IsHidden(MemoryKind kind, const Hidden& hidden) {
  if (kind == MemoryKind::kThought) return hidden.reflections;
  if (kind == MemoryKind::kPlanned) return hidden.plans;
  return hidden.observations;
}

}  // namespace

Hidden Hidden::operator|(const Hidden& other) const {
  return {observations || other.observations, reflections || other.reflections, plans || other.plans,
          relations || other.relations};
}

Hidden ParseHidden(std::string_view flag, const std::string& text) {
  Hidden hidden;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string kind = text.substr(begin, end - begin);
    bool* const found = kind == "observations"  ? &hidden.observations
                        : kind == "reflections" ? &hidden.reflections
                        : kind == "plans"       ? &hidden.plans
                        : kind == "relations"   ? &hidden.relations
                                                : nullptr;
    if (found == nullptr) {
      throw MakeError(ErrorCode::kInvalid,
                      "{} {}: found {:?}, allowed: observations, reflections, plans and relations, joined by "
                      "commas",
                      flag, text, kind);
    }
    *found = true;
    begin = end + 1;
  }
  return hidden;
}

TownMind Without(const TownMind& mind, const Hidden& hidden) {
  TownMind known = mind;
  known.memories = MemoryStream();
  known.embeddings = Embeddings();
  const std::vector<Embedding> embeddings = mind.embeddings.All();
  size_t next = 0;
  for (const Memory* memory : mind.memories.All()) {
    const size_t i = next++;
    if (IsHidden(memory->kind, hidden)) continue;
    known.memories.Append(memory->step, memory->minute, memory->kind, memory->importance, memory->text);
    if (i < embeddings.size()) known.embeddings.Append(embeddings[i]);
  }
  if (hidden.plans) known.plan = std::make_shared<const Plan>();
  return known;
}

Persona Without(const Persona& persona, const Hidden& hidden) {
  Persona known = persona;
  if (hidden.relations) known.relations.clear();
  return known;
}

}  // namespace throng::town
