#include "llm/grammar/answer_maker.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "base/text/utf8.h"
#include "llm/regular/regular.h"

namespace throng::llm {
namespace {

constexpr size_t kMaxGrammars = 1024;  // a run has few schemas; more would be a leak
constexpr uint64_t kMaxWords = 24;
constexpr int64_t kMoreItems = 3;  // a repeat exceeds its minimum by at most this
constexpr int64_t kMoreChars = 12;
constexpr int kMaxSteps = 1 << 22;
constexpr int kMaxRules = 8;  // rules within rules, before the shortest way out is taken

constexpr std::array<std::string_view, 32> kWords = {
    "the",  "a",    "morning", "park",  "we",    "talk",   "about", "bread", "music", "today",  "friend",
    "meet", "work", "home",    "walk",  "think", "coffee", "old",   "new",   "plan",  "garden", "with",
    "and",  "at",   "book",    "night", "good",  "then",   "later", "story", "river", "light"};

class Writer {
 public:
  Writer(const Grammar& grammar, CounterRng& rng, std::string& out)
      : grammar_(grammar), rng_(rng), out_(out), rules_(grammar.Size(), kEndless) {
    const std::vector<Grammar::Node> order = grammar.Order();
    for (bool more = true; more;) {
      more = false;
      for (const Grammar::Node node : order) {
        const int rules = RulesOf(node);
        more = more || rules != rules_[node];
        rules_[node] = rules;
      }
    }
  }

  void Append(Grammar::Node node, int depth) {
    if (++steps_ > kMaxSteps)
      throw MakeError(ErrorCode::kInvalid, "the shortest answer that the constraint allows is too long");
    const Grammar::Item& item = grammar_[node];
    switch (item.kind) {
      case Grammar::Kind::kBytes:
        out_ += item.bytes;
        break;
      case Grammar::Kind::kStringChar:
      case Grammar::Kind::kChar:
        AppendChar(item.chars, item.kind == Grammar::Kind::kStringChar);
        break;
      case Grammar::Kind::kStringTexts:
      case Grammar::Kind::kTexts:
        AppendTexts(*item.texts, item.kind == Grammar::Kind::kStringTexts);
        break;
      case Grammar::Kind::kSequence:
        for (const Grammar::Node child : item.children) Append(child, depth);
        break;
      case Grammar::Kind::kChoice:
        Append(Choose(item.children, depth), depth);
        break;
      case Grammar::Kind::kRepeat: {
        const Grammar::Node child = item.children[0];
        const Grammar::Kind kind = grammar_[child].kind;
        const bool chars = kind == Grammar::Kind::kStringChar || kind == Grammar::Kind::kChar;
        int64_t more = chars ? kMoreChars : kMoreItems;
        if (item.max != Grammar::kUnbounded) more = std::min(more, item.max - item.min);
        if (rules_[child] >= (depth > kMaxRules ? 1 : kEndless)) more = 0;
        const int64_t count =
            item.min + static_cast<int64_t>(rng_.NextBelow(static_cast<uint64_t>(more) + 1));
        for (int64_t i = 0; i < count; ++i) Append(child, depth);
        break;
      }
      case Grammar::Kind::kRule:
        Append(item.children[0], depth + 1);
        break;
    }
  }

 private:
  static constexpr int kEndless = 1 << 20;

  // The rules within rules of the shortest text.
  int RulesOf(Grammar::Node node) const {
    const Grammar::Item& item = grammar_[node];
    int most = 0, least = kEndless;
    for (const Grammar::Node child : item.children) {
      most = std::max(most, rules_[child]);
      least = std::min(least, rules_[child]);
    }
    if (item.kind == Grammar::Kind::kChoice) return least;
    if (item.kind == Grammar::Kind::kRepeat) return item.min == 0 ? 0 : most;
    return item.kind == Grammar::Kind::kRule ? std::min(most + 1, kEndless) : most;
  }

  void AppendChar(const CodePoints& chars, bool in_string) {
    const auto letters = std::find_if(chars.begin(), chars.end(), [](const auto& range) {
      return range.first <= 'a' && range.second >= 'z';
    });
    if (letters != chars.end()) {
      out_.push_back(static_cast<char>('a' + rng_.NextBelow(26)));
      return;
    }
    const auto& [first, last] = chars[rng_.NextBelow(chars.size())];
    const uint32_t c = first + static_cast<uint32_t>(rng_.NextBelow(last - first + 1));
    in_string ? AppendStringChar(c, out_) : AppendUtf8(c, out_);
  }

  // Wanders about for some characters, then takes the shortest way to an end.
  void AppendTexts(const Regular& texts, bool in_string) {
    const std::vector<Regular::State>& states = texts.States();
    std::vector<size_t> left(states.size(), states.size());  // characters to an end
    for (bool more = true; more;) {
      more = false;
      for (size_t i = states.size(); i-- > 0;) {
        size_t least = states[i].accepts ? 0 : left[i];
        for (const Regular::Edge& edge : states[i].edges) least = std::min(least, left[edge.next] + 1);
        more = more || least < left[i];
        left[i] = least;
      }
    }
    size_t state = 0;
    for (int64_t count = 0; !states[state].edges.empty(); ++count) {
      const std::vector<Regular::Edge>& edges = states[state].edges;
      if (states[state].accepts && (count >= kMoreChars || rng_.NextBelow(4) == 0)) break;
      const Regular::Edge& edge =
          count < kMoreChars
              ? edges[rng_.NextBelow(edges.size())]
              : *std::min_element(edges.begin(), edges.end(),
                                  [&](const auto& a, const auto& b) { return left[a.next] < left[b.next]; });
      AppendChar(texts.Classes()[edge.chars], in_string);
      state = edge.next;
    }
  }

  Grammar::Node Choose(const std::vector<Grammar::Node>& children, int depth) {
    const auto picked = static_cast<size_t>(rng_.NextBelow(children.size()));
    if (depth <= kMaxRules && rules_[children[picked]] < kEndless) return children[picked];
    return *std::min_element(children.begin(), children.end(),
                             [&](Grammar::Node a, Grammar::Node b) { return rules_[a] < rules_[b]; });
  }

  const Grammar& grammar_;
  CounterRng& rng_;
  std::string& out_;
  std::vector<int> rules_;  // by node
  int steps_ = 0;
};

uint64_t HashOf(const Request& request, uint64_t seed) {
  const auto mix = [&](const std::string& text) {
    seed = XXH3_64bits_withSeed(text.data(), text.size(), Mix64(seed + 1));
  };
  mix(request.function);
  mix(request.system);
  mix(request.prompt);
  mix(request.constraint.json_schema);
  if (!request.constraint.grammar.empty()) mix(request.constraint.grammar);
  if (!request.constraint.regex.empty()) mix(request.constraint.regex);
  for (const std::string& choice : request.constraint.choices) mix(choice);
  return seed;
}

}  // namespace

int EstimateTokens(size_t bytes) { return static_cast<int>(std::min<size_t>((bytes + 3) / 4, 1 << 30)); }

std::string RandomText(const Grammar& grammar, CounterRng& rng) {
  std::string text;
  Writer(grammar, rng, text).Append(grammar.Root(), 0);
  return text;
}

const Grammar& AnswerMaker::GrammarOf(const Constraint& constraint) {
  const std::string key =
      constraint.json_schema + constraint.grammar + constraint.regex;  // only one is given
  const auto found = grammars_.find(key);
  if (found != grammars_.end()) return *found->second;
  auto grammar = std::make_unique<const Grammar>(CompileGrammar(constraint));
  if (grammars_.size() >= kMaxGrammars) grammars_.clear();
  return *(grammars_[key] = std::move(grammar));
}

std::string AnswerMaker::MakeText(const Request& request, CounterRng& rng, FinishReason& finish) {
  const Constraint& constraint = request.constraint;
  const bool has_grammar = !(constraint.json_schema + constraint.grammar + constraint.regex).empty();
  if (has_grammar) return RandomText(GrammarOf(constraint), rng);
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
