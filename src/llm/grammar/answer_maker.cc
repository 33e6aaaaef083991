#include "llm/grammar/answer_maker.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace throng::llm {
namespace {

constexpr size_t kMaxGrammars = 1024;  // a run has few schemas; more would be a leak
constexpr uint64_t kMaxWords = 24;
constexpr int64_t kMoreItems = 3;  // a repeat exceeds its minimum by at most this
constexpr int64_t kMoreChars = 12;

constexpr std::array<std::string_view, 32> kWords = {
    "the",  "a",    "morning", "park",  "we",    "talk",   "about", "bread", "music", "today",  "friend",
    "meet", "work", "home",    "walk",  "think", "coffee", "old",   "new",   "plan",  "garden", "with",
    "and",  "at",   "book",    "night", "good",  "then",   "later", "story", "river", "light"};

void Append(const Grammar& grammar, Grammar::Node node, CounterRng& rng, std::string& out) {
  const Grammar::Item& item = grammar[node];
  switch (item.kind) {
    case Grammar::Kind::kBytes:
      out += item.bytes;
      break;
    case Grammar::Kind::kStringChar: {
      const auto letters = std::find_if(item.chars.begin(), item.chars.end(), [](const auto& range) {
        return range.first <= 'a' && range.second >= 'z';
      });
      if (letters != item.chars.end()) {
        out.push_back(static_cast<char>('a' + rng.NextBelow(26)));
      } else {
        const auto& [first, last] = item.chars[rng.NextBelow(item.chars.size())];
        AppendStringChar(first + static_cast<uint32_t>(rng.NextBelow(last - first + 1)), out);
      }
      break;
    }
    case Grammar::Kind::kSequence:
      for (const Grammar::Node child : item.children) Append(grammar, child, rng, out);
      break;
    case Grammar::Kind::kChoice:
      Append(grammar, item.children[rng.NextBelow(item.children.size())], rng, out);
      break;
    case Grammar::Kind::kRepeat: {
      const bool chars = grammar[item.children[0]].kind == Grammar::Kind::kStringChar;
      int64_t more = chars ? kMoreChars : kMoreItems;
      if (item.max != Grammar::kUnbounded) more = std::min(more, item.max - item.min);
      const int64_t count = item.min + static_cast<int64_t>(rng.NextBelow(static_cast<uint64_t>(more) + 1));
      for (int64_t i = 0; i < count; ++i) Append(grammar, item.children[0], rng, out);
      break;
    }
  }
}

uint64_t HashOf(const Request& request, uint64_t seed) {
  const auto mix = [&](const std::string& text) {
    seed = XXH3_64bits_withSeed(text.data(), text.size(), Mix64(seed + 1));
  };
  mix(request.function);
  mix(request.system);
  mix(request.prompt);
  mix(request.constraint.json_schema);
  for (const std::string& choice : request.constraint.choices) mix(choice);
  return seed;
}

}  // namespace

int EstimateTokens(size_t bytes) { return static_cast<int>(std::min<size_t>((bytes + 3) / 4, 1 << 30)); }

std::string RandomText(const Grammar& grammar, CounterRng& rng) {
  std::string text;
  Append(grammar, grammar.Root(), rng, text);
  return text;
}

const Grammar& AnswerMaker::GrammarOf(const Constraint& constraint) {
  const auto found = grammars_.find(constraint.json_schema);
  if (found != grammars_.end()) return *found->second;
  auto grammar = std::make_unique<const Grammar>(CompileGrammar(constraint));
  if (grammars_.size() >= kMaxGrammars) grammars_.clear();
  return *(grammars_[constraint.json_schema] = std::move(grammar));
}

std::string AnswerMaker::MakeText(const Request& request, CounterRng& rng, FinishReason& finish) {
  const Constraint& constraint = request.constraint;
  if (!constraint.json_schema.empty()) return RandomText(GrammarOf(constraint), rng);
  if (!constraint.choices.empty()) return constraint.choices[rng.NextBelow(constraint.choices.size())];
  // A word and its space are about one token and a half.
  const auto words = 1 + rng.NextBelow(kMaxWords);
  const size_t limit = static_cast<size_t>(std::max(request.max_tokens, 0)) * 4;
  std::string text;
  for (uint64_t i = 0; i < words && text.size() <= limit; ++i) {
    if (i > 0) text.push_back(' ');
    text += kWords[rng.NextBelow(kWords.size())];
  }
  if (text.size() > limit) {
    text.resize(limit);
    finish = FinishReason::kLength;
  }
  for (const std::string& stop : request.stop) {
    const size_t at = stop.empty() ? std::string::npos : text.find(stop);
    if (at == std::string::npos) continue;
    text.resize(at);
    finish = FinishReason::kStop;
  }
  return text;
}

Completion AnswerMaker::Make(const Request& request) {
  CounterRng rng(HashOf(request, seed_), request.sampling.seed, request.key.agent, request.key.step,
                 request.key.call);
  Completion completion;
  completion.id = request.id;
  completion.key = request.key;
  // Replays of traces read no text, only sizes.
  if (request.known_output_tokens < 0 || !request.constraint.Empty()) {
    completion.text = MakeText(request, rng, completion.finish);
  }
  completion.prompt_tokens = request.known_prompt_tokens >= 0
                                 ? request.known_prompt_tokens
                                 : EstimateTokens(request.system.size() + request.prompt.size());
  completion.output_tokens =
      request.known_output_tokens >= 0 ? request.known_output_tokens : EstimateTokens(completion.text.size());
  return completion;
}

}  // namespace throng::llm
