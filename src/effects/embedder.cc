#include "effects/embedder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/digest.h"
#include "base/error.h"
#include "base/rng.h"

namespace throng::effects {

namespace {

constexpr double kLargest = 127;

std::string JsonOf(const std::vector<float>& embedding) {
  float largest = 0;
  for (const float number : embedding) {
    if (!std::isfinite(number)) {
      throw Error(ErrorCode::kBadAnswer, "an embedding has something that is no number");
    }
    largest = std::max(largest, std::abs(number));
  }
  std::string json = "[";
  for (const float number : embedding) {
    const double part = largest == 0 ? 0 : double{number} / double{largest};
    fmt::format_to(std::back_inserter(json), "{}{}", json.size() == 1 ? "" : ",",
                   std::lround(part * kLargest));
  }
  return json + "]";
}

}  // namespace

ToolResult Embedder::Use(const std::string& arguments) {
  const auto texts = nlohmann::json::parse(arguments).at("texts").get<std::vector<std::string>>();
  try {
    std::vector<std::string> embeddings(texts.size());
    std::set<std::string> unknown;
    const auto look_up = [&] {
      const std::lock_guard lock(mutex_);
      unknown.clear();
      for (size_t i = 0; i < texts.size(); ++i) {
        const auto found = known_.find(texts[i]);
        if (found != known_.end()) {
          embeddings[i] = found->second;
        } else {
          unknown.insert(texts[i]);
        }
      }
    };
    for (look_up(); !unknown.empty(); look_up()) Learn({unknown.begin(), unknown.end()});
    return {ToolResult::Outcome::kDone, fmt::format("[{}]", fmt::join(embeddings, ","))};
  } catch (const Error& error) {
    return {ToolResult::Outcome::kUnavailable, error.what()};
  }
}

void Embedder::Learn(const std::vector<std::string>& texts) {
  const std::vector<std::vector<float>> embeddings = Embed(texts);
  if (embeddings.size() != texts.size()) {
    throw MakeError(ErrorCode::kBadAnswer, "{} embeddings of {} texts; allowed: one of each",
                    embeddings.size(), texts.size());
  }
  const size_t numbers = embeddings[0].size();
  for (const std::vector<float>& embedding : embeddings) {
    if (embedding.size() == numbers && numbers > 0 && numbers <= kMostNumbers) continue;
    throw MakeError(ErrorCode::kBadAnswer,
                    "an embedding of {} numbers, and one of {}; allowed: equally many, at most {}",
                    embedding.size(), numbers, kMostNumbers);
  }
  const std::lock_guard lock(mutex_);
  if (known_.size() > kMostKnown) known_.clear();
  for (size_t i = 0; i < texts.size(); ++i) known_[texts[i]] = JsonOf(embeddings[i]);
}

std::vector<std::vector<float>> FakeEmbedder::Embed(const std::vector<std::string>& texts) {
  constexpr size_t kNumbers = 64;
  std::vector<std::vector<float>> embeddings;
  for (const std::string& text : texts) {
    std::vector<float>& embedding = embeddings.emplace_back(kNumbers, 0.0f);
    std::string word;
    const auto add_word = [&] {
      if (word.empty()) return;
      const CounterRng direction(DigestOf(word).low);
      for (size_t i = 0; i < kNumbers; ++i) embedding[i] += direction.At(i) % 2 == 0 ? 1.0f : -1.0f;
      word.clear();
    };
    for (const char c : text) {
      const bool in_word =
          (c >= '0' && c <= ':') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80) != 0;
      if (!in_word) {
        add_word();
      } else {
        word += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
      }
    }
    add_word();
  }
  return embeddings;
}

}  // namespace throng::effects
