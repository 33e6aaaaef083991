#include "effects/embedder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
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

// Each in JSON. Throws kBadAnswer if they are not what Embed must give.
std::vector<std::string> Checked(const std::vector<std::string>& texts,
                                 const std::vector<std::vector<float>>& embeddings) {
  if (embeddings.size() != texts.size()) {
    throw MakeError(ErrorCode::kBadAnswer, "{} embeddings of {} texts; allowed: one of each",
                    embeddings.size(), texts.size());
  }
  std::vector<std::string> checked;
  const size_t numbers = embeddings[0].size();
  for (const std::vector<float>& embedding : embeddings) {
    if (embedding.size() != numbers || numbers == 0 || numbers > Embedder::kMostNumbers) {
      throw MakeError(ErrorCode::kBadAnswer,
                      "an embedding of {} numbers, and one of {}; allowed: equally many, at most {}",
                      embedding.size(), numbers, Embedder::kMostNumbers);
    }
    checked.push_back(JsonOf(embedding));
  }
  return checked;
}

}  // namespace

ToolResult Embedder::Use(const std::string& arguments) {
  const auto texts = nlohmann::json::parse(arguments).at("texts").get<std::vector<std::string>>();
  try {
    std::vector<std::string> embeddings(texts.size());
    std::unique_lock lock(mutex_);
    while (true) {
      std::set<std::string> unknown;
      bool others_ask = false;
      for (size_t i = 0; i < texts.size(); ++i) {
        if (!embeddings[i].empty()) continue;
        const auto found = known_.find(texts[i]);
        if (found != known_.end()) {
          embeddings[i] = found->second;
        } else if (being_asked_.contains(texts[i])) {
          others_ask = true;
        } else {
          unknown.insert(texts[i]);
        }
      }
      if (!unknown.empty()) {
        Learn({unknown.begin(), unknown.end()}, lock);
      } else if (others_ask) {
        changed_.wait(lock);
      } else {
        return {ToolResult::Outcome::kDone, fmt::format("[{}]", fmt::join(embeddings, ","))};
      }
    }
  } catch (const Error& error) {
    return {ToolResult::Outcome::kUnavailable, error.what()};
  }
}

void Embedder::Learn(const std::vector<std::string>& texts, std::unique_lock<std::mutex>& lock) {
  being_asked_.insert(texts.begin(), texts.end());
  std::exception_ptr failure;
  std::vector<std::string> embeddings;
  lock.unlock();
  try {
    embeddings = Checked(texts, Embed(texts));
  } catch (...) {
    failure = std::current_exception();
  }
  lock.lock();
  for (const std::string& text : texts) being_asked_.erase(text);
  changed_.notify_all();
  if (failure) std::rethrow_exception(failure);
  if (known_.size() > kMostKnown) known_.clear();
  for (size_t i = 0; i < texts.size(); ++i) known_[texts[i]] = std::move(embeddings[i]);
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
