// Constraints as they come over HTTP: schemas, grammars and regular expressions. What compiles must accept
// what is made up for it, masks must agree with trying each token, and what is made up for a schema must be
// valid by an independent reading of it.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "base/rng.h"
#include "engine/sampling/constrain.h"
#include "engine/sampling/constraint_cache.h"
#include "llm/answer/schema_check.h"
#include "llm/effort.h"
#include "llm/grammar/answer_maker.h"
#include "llm/grammar/automaton.h"

namespace {

using throng::CounterRng;
using throng::engine::Constraint;
using throng::engine::Matcher;
using throng::engine::Vocabulary;

constexpr size_t kMostTexts = 1 << 12;  // bytes of a text that is worth matching here
constexpr int kSteps = 12;

std::shared_ptr<const Vocabulary> SomeVocabulary() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  tokens.insert(tokens.end(), {"{\"", "\":", "\",\"", "}}", "]}", "\"}", "true", "null", "12", "aa",
                               "\xc3\xa9", "((", "  ", ""});
  return std::make_shared<Vocabulary>(tokens, std::vector<int32_t>{static_cast<int32_t>(tokens.size() - 1)});
}

void Walk(const std::shared_ptr<Constraint>& constraint, CounterRng& rng) {
  const Vocabulary& vocabulary = constraint->GetVocabulary();
  Matcher matcher(constraint);
  std::vector<uint64_t> mask(vocabulary.MaskWords());
  for (int step = 0; step < kSteps && !matcher.IsFinished(); ++step) {
    matcher.AllowedTokens(mask);
    std::vector<int32_t> allowed;
    for (int32_t t = 0; t < static_cast<int32_t>(vocabulary.NumTokens()); ++t) {
      const bool is_allowed = (mask[static_cast<size_t>(t) / 64] >> (t & 63) & 1) != 0;
      THRONG_CHECK(is_allowed == matcher.Allows(t));
      if (is_allowed) allowed.push_back(t);
    }
    THRONG_CHECK(!allowed.empty());
    THRONG_CHECK(matcher.Accept(allowed[rng.NextBelow(allowed.size())]));
  }
}

// Where the other reading knows the schema.
void Judge(const std::string& schema, const std::string& answer) {
  std::unique_ptr<throng::llm::SchemaCheck> check;
  try {
    check = std::make_unique<throng::llm::SchemaCheck>(schema);
  } catch (const throng::Error&) {
    return;
  }
  const auto value = nlohmann::ordered_json::parse(answer, nullptr, /*allow_exceptions=*/false);
  THRONG_CHECK(!value.is_discarded());
  const std::string wrong = check->WhatIsWrong(value);
  THRONG_CHECK(wrong.empty() || wrong.find("nested too deeply") != wrong.npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::shared_ptr<const Vocabulary> vocabulary = SomeVocabulary();
  if (size < 2) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  throng::llm::Constraint spec;
  (data[0] % 3 == 0 ? spec.json_schema : data[0] % 3 == 1 ? spec.grammar : spec.regex) = text;
  try {
    const throng::llm::Effort effort(throng::engine::ConstraintCache::kMostEffort);
    const throng::llm::Grammar grammar = throng::llm::CompileGrammar(spec);
    const auto constraint = std::make_shared<Constraint>(spec, vocabulary);
    throng::llm::Automaton automaton(grammar);
    for (uint64_t seed = 0; seed < 3; ++seed) {
      CounterRng rng(seed, size);
      const std::string answer = throng::llm::RandomText(grammar, rng);
      if (answer.size() < kMostTexts) THRONG_CHECK(automaton.Matches(answer));
      if (!spec.json_schema.empty()) Judge(spec.json_schema, answer);
      Walk(constraint, rng);
    }
  } catch (const throng::Error&) {
  } catch (const throng::llm::Effort::Spent&) {
  }
  return 0;
}
