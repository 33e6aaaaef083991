// Runs the same requests under conditions that must not matter, and compares all logits.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/rng.h"
#include "engine/testing/engine_rig.h"
#include "kv/softmax_kind.h"
#include "model/config.h"
#include "model/transformer.h"

namespace throng::engine {

// Everything that must not matter, for one model, codec and softmax. Answers cross the borders of blocks.
class PurityCheck {
 public:
  PurityCheck(model::Transformer& transformer, const std::string& codec,
              kv::SoftmaxKind softmax = kv::SoftmaxKind::kExact)
      : transformer_(transformer), codec_(codec), softmax_(softmax) {
    const auto vocab = static_cast<uint64_t>(transformer.Config().vocab_size);
    CounterRng rng(DigestOf(codec).low);
    for (const int length : {150, 1, 64, 65, 63, 201, 130}) {
      Question question{.prompt = std::vector<int32_t>(static_cast<size_t>(length)), .max_tokens = 70};
      for (int32_t& token : question.prompt) token = static_cast<int32_t>(rng.NextBelow(vocab));
      question.prompt[0] = static_cast<int32_t>(questions_.size());
      questions_.push_back(question);
    }
    for (const Question& question : questions_) alone_.push_back(Alone(question));
  }

  void Run() {
    ASSERT_NO_FATAL_FAILURE(ExpectLogitsVary());
    ASSERT_NO_FATAL_FAILURE(InABatch());
    ASSERT_NO_FATAL_FAILURE(InChunksOf(1));
    ASSERT_NO_FATAL_FAILURE(InChunksOf(200));
    ASSERT_NO_FATAL_FAILURE(PrefilledInsteadOfDecoded());
    ASSERT_NO_FATAL_FAILURE(FromThePrefixCache());
    ASSERT_NO_FATAL_FAILURE(FromTheMiddleOfABlock());
    ASSERT_NO_FATAL_FAILURE(AfterEviction());
    ASSERT_NO_FATAL_FAILURE(FromDisk());
    ASSERT_NO_FATAL_FAILURE(WithExpectations());
    ASSERT_NO_FATAL_FAILURE(WithTwoThreads());
    ASSERT_NO_FATAL_FAILURE(WithGuesses());
  }

 private:
  static constexpr int kRoomForRows =
      400000;  // an eighth of the budget is for them, which small codes make small

  EngineRig& Rig(Conditions conditions) {
    rig_ = nullptr;
    conditions.softmax = softmax_;
    rig_ = std::make_unique<EngineRig>(transformer_, codec_, conditions);
    return *rig_;
  }

  Answer Alone(const Question& question) {
    return Rig({.chunk_tokens = 64, .lookup = Lookup::kOff}).Ask(question);
  }

  void CompareAll(const std::vector<Answer>& answers) {
    for (size_t i = 0; i < answers.size(); ++i) {
      SCOPED_TRACE(i);
      ASSERT_NO_FATAL_FAILURE(ExpectSame(answers[i], alone_[i]));
    }
  }

  // Otherwise all comparisons would mean nothing.
  void ExpectLogitsVary() {
    for (const Answer& answer : alone_) {
      ASSERT_EQ(answer.logits.size(), 70u);
      ASSERT_NE(answer.logits[0], answer.logits[1]);
      ASSERT_NE(answer.logits[0], alone_[&answer == &alone_[0] ? 1 : 0].logits[0]);
    }
    if (softmax_ == kv::SoftmaxKind::kExact) return;
    rig_ = nullptr;
    ASSERT_NE(EngineRig(transformer_, codec_, {}).Ask(questions_[0]).logits[0], alone_[0].logits[0]);
  }

  void InABatch() {
    SCOPED_TRACE("in a batch of seven");
    CompareAll(Rig({}).Ask(questions_));
  }

  void InChunksOf(int tokens) {
    SCOPED_TRACE("in chunks of " + std::to_string(tokens));
    CompareAll(Rig({.chunk_tokens = tokens}).Ask(questions_));
  }

  void PrefilledInsteadOfDecoded() {
    SCOPED_TRACE("prefilled instead of decoded");
    EngineRig& rig = Rig({.chunk_tokens = 200});
    for (const size_t length : {1, 20, 42, 69}) {
      for (size_t i = 0; i < questions_.size(); ++i) {
        Question question = questions_[i];
        const auto& tokens = alone_[i].result.tokens;
        question.prompt.insert(question.prompt.end(), tokens.begin(),
                               tokens.begin() + static_cast<ptrdiff_t>(length));
        question.max_tokens = 1;
        const Answer answer = rig.Ask(question);
        ASSERT_EQ(answer.logits[0], alone_[i].logits[length]) << "question " << i << ", after " << length;
      }
    }
  }

  void FromThePrefixCache() {
    SCOPED_TRACE("from the prefix cache");
    EngineRig& rig = Rig({.prefix_cache = true, .budget_tokens = kRoomForRows});
    CompareAll(rig.Ask(questions_));
    const std::vector<Answer> again = rig.Ask(questions_);
    CompareAll(again);
    // Whole blocks, and rows of another, unless a state would have to come with them.
    const bool rows = transformer_.Config().state_floats.empty();
    EXPECT_EQ(again[0].result.cached_prompt_tokens, rows ? 149 : 128);
    EXPECT_EQ(again[2].result.cached_prompt_tokens, rows ? 63 : 0);
    EXPECT_EQ(again[3].result.cached_prompt_tokens, 64);
    EXPECT_EQ(again[5].result.cached_prompt_tokens, 192);
  }

  // Prompts part within a block whose rows were kept, and one goes on from where an answer ended.
  void FromTheMiddleOfABlock() {
    SCOPED_TRACE("from the middle of a block");
    const auto num_vocab = static_cast<uint64_t>(transformer_.Config().vocab_size);
    const auto parted = [&](int at, uint64_t seed) {
      Question question{.prompt = questions_[5].prompt, .max_tokens = 20};
      const auto next = static_cast<uint64_t>(question.prompt[static_cast<size_t>(at)]);
      question.prompt.resize(static_cast<size_t>(at));
      CounterRng rng(seed);
      if (at < 170)  // unlike all others that part there
        question.prompt.push_back(static_cast<int32_t>((next + 1 + seed) % num_vocab));
      while (question.prompt.size() < 170)
        question.prompt.push_back(static_cast<int32_t>(rng.NextBelow(num_vocab)));
      return question;
    };
    std::vector<Question> questions;
    for (const int at : {170, 100, 100, 127, 81, 64, 40, 40, 17}) {
      questions.push_back(parted(at, questions.size()));
    }
    std::vector<Answer> alone;
    for (const Question& question : questions) alone.push_back(Alone(question));
    Question longer = questions[1];
    longer.prompt.insert(longer.prompt.end(), alone[1].result.tokens.begin(), alone[1].result.tokens.end());
    longer.prompt.insert(longer.prompt.end(), 30, 1);
    questions.push_back(longer);
    alone.push_back(Alone(longer));
    EngineRig& rig = Rig({.chunk_tokens = 100, .prefix_cache = true, .budget_tokens = kRoomForRows});
    std::vector<int> cached;
    for (size_t i = 0; i < questions.size(); ++i) {
      SCOPED_TRACE(i);
      const Answer answer = rig.Ask(questions[i]);
      ASSERT_NO_FATAL_FAILURE(ExpectSame(answer, alone[i]));
      cached.push_back(answer.result.cached_prompt_tokens);
    }
    if (!transformer_.Config().state_floats.empty()) return;  // a state is kept at ends of blocks alone
    // What the fine forms of pages nearby allow.
    if (codec_.find(":sink") != std::string::npos || codec_.find("recent") != std::string::npos) return;
    EXPECT_EQ(cached, (std::vector{0, 100, 100, 127, 81, 64, 40, 40, 17, 189}));
  }

  // Answers are so long that they soon use up the memory left after admission.
  void AfterEviction() {
    const size_t bytes = EngineRig::BlockBytes(transformer_.Config(), codec_);
    const size_t f16_bytes = EngineRig::BlockBytes(transformer_.Config(), "f16");
    std::vector<Question> questions(questions_.begin(), questions_.begin() + 3);
    std::vector<Answer> alone;
    for (Question& question : questions) {
      question.max_tokens = 200;
      alone.push_back(Alone(question));
    }
    for (const bool prefix_cache : {false, true}) {
      SCOPED_TRACE(prefix_cache ? "after eviction, with the prefix cache" : "after eviction");
      const auto answers = Rig({.prefix_cache = prefix_cache, .budget_tokens = 350}).Ask(questions);
      int preemptions = 0;
      for (size_t i = 0; i < answers.size(); ++i) {
        ASSERT_NO_FATAL_FAILURE(ExpectSame(answers[i], alone[i]));
        preemptions += answers[i].result.preemptions;
      }
      // Small codes, and pages that are released, grow so little that admission's reserve for a chunk of raw
      // rows covers all of it.
      const bool codes_are_large = 5 * bytes >= 2 * f16_bytes;
      const bool grows = EngineRig::MakeLayout(transformer_.Config(), codec_).sliding_bytes == 0;
      EXPECT_TRUE(preemptions > 0 || !codes_are_large || !grows);
    }
  }

  void FromDisk() {
    SCOPED_TRACE("from a spill file");
    EngineRig& rig = Rig({.prefix_cache = true, .budget_tokens = 300, .spill_folder = ::testing::TempDir()});
    for (int round = 0; round < 2; ++round) {
      for (size_t i = 0; i < questions_.size(); ++i) {
        ASSERT_NO_FATAL_FAILURE(ExpectSame(rig.Ask(questions_[i]), alone_[i]));
      }
    }
    EXPECT_GT(rig.Metric("throng:restored_blocks_total"), 0);
  }

  // Expectations decide which blocks are found in the cache later, and nothing else.
  void WithExpectations() {
    SCOPED_TRACE("with expectations, right or wrong");
    EngineRig& rig = Rig({.prefix_cache = true, .budget_tokens = 500, .expectations = true});
    for (int round = 0; round < 2; ++round) {
      for (size_t i = 0; i < questions_.size(); ++i) {
        ASSERT_NO_FATAL_FAILURE(ExpectSame(rig.Ask(questions_[i]), alone_[i]));
        ASSERT_NO_FATAL_FAILURE(ExpectSame(rig.Ask(questions_[i]), alone_[i]));
      }
    }
    EXPECT_GT(rig.Metric("throng:prefix_evictions_total"), 0);
    EXPECT_GT(rig.Metric("throng:prompt_tokens_cached_total"), 0);
  }

  void WithTwoThreads() {
    SCOPED_TRACE("with two threads");
    CompareAll(Rig({.threads = 2, .step_tokens = 100}).Ask(questions_));
  }

  // Greedy answers go in circles, so that many guesses come true, as well as many that do not.
  void WithGuesses() {
    SCOPED_TRACE("with guesses that come true");
    std::vector<Question> questions = questions_;
    std::vector<Answer> alone;
    for (Question& question : questions) {
      question.max_tokens = 150;
      question.temperature = 0;
      alone.push_back(Alone(question));
    }
    EngineRig& rig = Rig({.prefix_cache = true});
    const std::vector<Answer> answers = rig.Ask(questions);
    for (size_t i = 0; i < answers.size(); ++i) {
      SCOPED_TRACE(i);
      ASSERT_NO_FATAL_FAILURE(ExpectSame(answers[i], alone[i]));
    }
    if (!transformer_.Config().state_floats.empty()) {  // what is guessed could not be taken back
      EXPECT_EQ(rig.Metric("throng:lookup_guesses_total"), 0);
      return;
    }
    EXPECT_GT(rig.Metric("throng:lookup_accepted_total"), 30);
    EXPECT_LT(rig.Metric("throng:lookup_accepted_total"), rig.Metric("throng:lookup_guesses_total"));
  }

  model::Transformer& transformer_;
  const std::string codec_;
  const kv::SoftmaxKind softmax_;
  std::vector<Question> questions_;
  std::vector<Answer> alone_;
  std::unique_ptr<EngineRig> rig_;
};

}  // namespace throng::engine
