// For the tests of purity: runs requests through an engine over a real transformer, under conditions that
// must not matter, and keeps the logits of every token.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <cstring>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/thread_pool.h"
#include "engine/engine.h"
#include "engine/sampling/constrain.h"
#include "engine/scheduler.h"
#include "kv/cache/block_pool.h"
#include "kv/codec_table.h"
#include "model/config.h"
#include "model/gguf/gguf.h"
#include "model/gguf/gguf_writer.h"
#include "model/matmul/test_matrices.h"
#include "model/transformer.h"

namespace throng::engine {

// What may differ between random models.
struct TinyModel {
  model::TensorType type = model::TensorType::kQ8_0;
  int head_dim = 16;
  int kv_heads = 2;  // for 4 query heads
  int window = 0;    // if not 0: tokens that each layer sees
};

// A random model of two layers.
inline std::vector<uint8_t> TinyModelBytes(const TinyModel& shape) {
  constexpr int kDim = 64, kHeads = 4, kFfn = 96, kVocab = 64;
  const auto [type, head_dim, kv_heads, window] = shape;
  model::GgufWriter writer;
  // The family with a window in all layers; its gate and up weights are one tensor.
  const std::string family = window > 0 ? "phi3" : "llama";
  const auto add = [&](const char* key, int value) {
    writer.Add(family + "." + key, static_cast<uint32_t>(value));
  };
  const auto tensor = [&](const std::string& name, model::TensorType of, int cols, int rows) {
    std::vector<uint64_t> dims = {static_cast<uint64_t>(cols)};
    if (rows > 1) dims.push_back(static_cast<uint64_t>(rows));
    const size_t elements = static_cast<size_t>(cols) * static_cast<size_t>(rows);
    uint64_t seed = 1;
    for (const char c : name) seed = Mix64(seed + static_cast<unsigned char>(c));
    writer.AddTensor(name, of, dims, model::RandomBlocks(of, elements, rows > 1 ? 0.2f : 1.5f, seed));
  };
  writer.Add("general.architecture", family);
  add("context_length", 2048);
  add("embedding_length", kDim);
  add("block_count", 2);
  add("feed_forward_length", kFfn);
  add("attention.head_count", kHeads);
  add("attention.head_count_kv", kv_heads);
  add("attention.key_length", head_dim);
  add("attention.value_length", head_dim);
  if (window > 0) add("attention.sliding_window", window);
  writer.Add(family + ".attention.layer_norm_rms_epsilon", 1e-5f);
  tensor("token_embd.weight", type, kDim, kVocab);
  tensor("output_norm.weight", model::TensorType::kF32, kDim, 1);
  for (const std::string prefix : {"blk.0.", "blk.1."}) {
    tensor(prefix + "attn_norm.weight", model::TensorType::kF32, kDim, 1);
    tensor(prefix + "attn_q.weight", type, kDim, kHeads * head_dim);
    tensor(prefix + "attn_k.weight", type, kDim, kv_heads * head_dim);
    tensor(prefix + "attn_v.weight", type, kDim, kv_heads * head_dim);
    tensor(prefix + "attn_output.weight", type, kHeads * head_dim, kDim);
    tensor(prefix + "ffn_norm.weight", model::TensorType::kF32, kDim, 1);
    if (window == 0) tensor(prefix + "ffn_gate.weight", type, kDim, kFfn);
    tensor(prefix + "ffn_up.weight", type, kDim, window == 0 ? kFfn : 2 * kFfn);
    tensor(prefix + "ffn_down.weight", type, kFfn, kDim);
  }
  return writer.Finish();
}

inline std::vector<uint8_t> TinyModelBytes(model::TensorType type, int head_dim) {
  return TinyModelBytes(TinyModel{.type = type, .head_dim = head_dim});
}

struct Question {
  std::vector<int32_t> prompt;
  int max_tokens;
  std::shared_ptr<const kv::SavedPages> start{};
  bool keep_pages = false;
};

struct Answer {
  EngineResult result;
  std::vector<std::vector<float>> logits;  // [tokens, vocab]
};

// The logits, bit for bit, and what was sampled from them.
inline void ExpectSame(const Answer& a, const Answer& b) {
  EXPECT_EQ(a.result.tokens, b.result.tokens);
  ASSERT_EQ(a.logits.size(), b.logits.size());
  for (size_t i = 0; i < a.logits.size(); ++i) {
    ASSERT_EQ(a.logits[i].size(), b.logits[i].size());
    ASSERT_EQ(std::memcmp(a.logits[i].data(), b.logits[i].data(), a.logits[i].size() * sizeof(float)), 0)
        << "the logits of token " << i << " of the answer differ";
  }
}

struct Conditions {
  int threads = 1;
  int max_batch = 16;
  int step_tokens = 512;
  int chunk_tokens = 64;
  bool prefix_cache = false;
  int budget_tokens = 20000;  // the KV budget is what so many tokens of one sequence need
  std::string spill_folder{};
  bool expectations = false;  // before each batch it is told, at random, when the askers are expected
  kv::SoftmaxKind softmax = kv::SoftmaxKind::kExact;
};

class PurityRig {
 public:
  PurityRig(model::Transformer& transformer, const std::string& codec, const Conditions& conditions)
      : vocab_(static_cast<size_t>(transformer.Config().vocab_size)),
        expectations_(conditions.expectations),
        layout_(MakeLayout(transformer.Config(), codec)),
        pool_(layout_, BudgetBytes(layout_, conditions.budget_tokens), conditions.softmax),
        threads_(conditions.threads),
        engine_(transformer,
                std::make_shared<Vocabulary>(std::vector<std::string>(vocab_, "x"), std::vector<int32_t>{}),
                pool_, threads_,
                {.max_batch = conditions.max_batch,
                 .step_tokens = conditions.step_tokens,
                 .chunk_tokens = conditions.chunk_tokens,
                 .prefix_cache = conditions.prefix_cache,
                 .max_context = transformer.Config().context_length,
                 .spill_folder = conditions.spill_folder}) {}

  // codec: of all layers, or "KEYS+VALUES|KEYS+VALUES|..." of one layer after the other, again and again.
  static kv::BlockLayout MakeLayout(const model::ModelConfig& config, const std::string& codec) {
    std::vector<kv::LayerCodecs> given;
    std::istringstream list(codec);
    for (std::string layer; std::getline(list, layer, '|');) {
      const size_t plus = layer.find('+');
      given.push_back({layer.substr(0, plus), plus == std::string::npos ? layer : layer.substr(plus + 1)});
    }
    std::vector<kv::LayerCodecs> layers;
    for (size_t i = 0; i < static_cast<size_t>(config.num_layers); ++i)
      layers.push_back(given[i % given.size()]);
    return kv::MakeLayout(layers, config.num_kv_heads, config.head_dim);
  }

  // All at once: the engine waits until it has them all, so that what happens does not depend on timing.
  std::vector<Answer> Ask(const std::vector<Question>& questions) {
    std::vector<Answer> answers(questions.size());
    size_t num_done = 0;
    std::promise<void> all_submitted;
    EngineRequest gate;
    gate.prompt = {0};
    gate.max_tokens = 1;
    gate.on_done = [&all_submitted](EngineResult) { all_submitted.get_future().wait(); };
    engine_.Submit(std::move(gate));
    for (size_t i = 0; i < questions.size(); ++i) {
      EngineRequest request;
      request.prompt = questions[i].prompt;
      request.max_tokens = questions[i].max_tokens;
      request.start = questions[i].start;
      request.keep_pages = questions[i].keep_pages;
      request.sampling.temperature = 0.7f;
      request.key.agent = static_cast<uint32_t>(questions[i].prompt.front());
      if (expectations_) {
        request.purpose = request.key.agent % 2 == 0 ? "act" : "say";
        engine_.ExpectNext(request.key.agent, static_cast<int32_t>(rng_.NextBelow(1000)));
      }
      request.on_logits = [&answers, i](int index, std::span<const float> logits) {
        EXPECT_EQ(answers[i].logits.size(), static_cast<size_t>(index));
        answers[i].logits.emplace_back(logits.begin(), logits.end());
      };
      request.on_done = [&answers, &num_done, i, this](EngineResult result) {
        std::lock_guard lock(mutex_);
        answers[i].result = std::move(result);
        ++num_done;
        done_.notify_all();
      };
      engine_.Submit(std::move(request));
    }
    all_submitted.set_value();
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return num_done == questions.size(); });
    return answers;
  }

  Answer Ask(const Question& question) { return Ask(std::vector{question}).front(); }

  kv::BlockPool& Blocks() { return pool_; }
  double Metric(const std::string& name) {  // a counter
    return engine_.Metrics().Counter(name, "").Value();
  }

  static size_t BlockBytes(const model::ModelConfig& config, const std::string& codec) {
    return MakeLayout(config, codec).bytes;
  }

 private:
  static size_t BudgetBytes(const kv::BlockLayout& layout, int tokens) {
    return Scheduler::MostBytes(kv::BlockPool(layout, 0), tokens);
  }

  size_t vocab_;
  bool expectations_;
  CounterRng rng_{1};
  kv::BlockLayout layout_;
  kv::BlockPool pool_;
  ThreadPool threads_;
  std::mutex mutex_;
  std::condition_variable done_;
  Engine engine_;
};

// All that must not matter, for one model, codec and softmax. Answers reach over the borders of blocks.
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
    for (const Question& question : questions_) alone_.push_back(Rig({.chunk_tokens = 64}).Ask(question));
  }

  void Run() {
    ASSERT_NO_FATAL_FAILURE(ExpectLogitsVary());
    ASSERT_NO_FATAL_FAILURE(InABatch());
    ASSERT_NO_FATAL_FAILURE(InChunksOf(1));
    ASSERT_NO_FATAL_FAILURE(InChunksOf(200));
    ASSERT_NO_FATAL_FAILURE(PrefilledInsteadOfDecoded());
    ASSERT_NO_FATAL_FAILURE(FromThePrefixCache());
    ASSERT_NO_FATAL_FAILURE(AfterEviction());
    ASSERT_NO_FATAL_FAILURE(WithExpectations());
    ASSERT_NO_FATAL_FAILURE(WithTwoThreads());
  }

 private:
  PurityRig& Rig(Conditions conditions) {
    rig_ = nullptr;
    conditions.softmax = softmax_;
    rig_ = std::make_unique<PurityRig>(transformer_, codec_, conditions);
    return *rig_;
  }

  void CompareAll(const std::vector<Answer>& answers) {
    for (size_t i = 0; i < answers.size(); ++i) {
      SCOPED_TRACE(i);
      ASSERT_NO_FATAL_FAILURE(ExpectSame(answers[i], alone_[i]));
    }
  }

  // Or all comparisons would mean nothing.
  void ExpectLogitsVary() {
    for (const Answer& answer : alone_) {
      ASSERT_EQ(answer.logits.size(), 70u);
      ASSERT_NE(answer.logits[0], answer.logits[1]);
      ASSERT_NE(answer.logits[0], alone_[&answer == &alone_[0] ? 1 : 0].logits[0]);
    }
    if (softmax_ == kv::SoftmaxKind::kExact) return;
    rig_ = nullptr;
    ASSERT_NE(PurityRig(transformer_, codec_, {}).Ask(questions_[0]).logits[0], alone_[0].logits[0]);
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
    PurityRig& rig = Rig({.chunk_tokens = 200});
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
    PurityRig& rig = Rig({.prefix_cache = true});
    CompareAll(rig.Ask(questions_));
    const std::vector<Answer> again = rig.Ask(questions_);
    CompareAll(again);
    EXPECT_EQ(again[0].result.cached_prompt_tokens, 128);
    EXPECT_EQ(again[2].result.cached_prompt_tokens, 0);
    EXPECT_EQ(again[3].result.cached_prompt_tokens, 64);
    EXPECT_EQ(again[5].result.cached_prompt_tokens, 192);
  }

  // Answers so long that what is left for others after admission is soon used up.
  void AfterEviction() {
    const size_t bytes = PurityRig::BlockBytes(transformer_.Config(), codec_);
    const size_t f16_bytes = PurityRig::BlockBytes(transformer_.Config(), "f16");
    std::vector<Question> questions(questions_.begin(), questions_.begin() + 3);
    std::vector<Answer> alone;
    for (Question& question : questions) {
      question.max_tokens = 200;
      alone.push_back(Rig({}).Ask(question));
    }
    for (const bool prefix_cache : {false, true}) {
      SCOPED_TRACE(prefix_cache ? "after eviction, with the prefix cache" : "after eviction");
      const auto answers = Rig({.prefix_cache = prefix_cache, .budget_tokens = 350}).Ask(questions);
      int preemptions = 0;
      for (size_t i = 0; i < answers.size(); ++i) {
        ASSERT_NO_FATAL_FAILURE(ExpectSame(answers[i], alone[i]));
        preemptions += answers[i].result.preemptions;
      }
      // Small codes grow so little that admission's reserve for a chunk of raw rows covers all of it.
      const bool codes_are_large = 5 * bytes >= 2 * f16_bytes;
      EXPECT_TRUE(preemptions > 0 || !codes_are_large);
    }
  }

  // They decide which blocks are found in the cache later, and nothing else.
  void WithExpectations() {
    SCOPED_TRACE("with expectations, right or wrong");
    PurityRig& rig = Rig({.prefix_cache = true, .budget_tokens = 500, .expectations = true});
    for (int round = 0; round < 2; ++round) {
      for (size_t i = 0; i < questions_.size(); ++i) {
        ASSERT_NO_FATAL_FAILURE(ExpectSame(rig.Ask(questions_[i]), alone_[i]));
        ASSERT_NO_FATAL_FAILURE(ExpectSame(rig.Ask(questions_[i]), alone_[i]));
      }
    }
    EXPECT_GT(rig.Metric("throng_prefix_evictions_total"), 0);
    EXPECT_GT(rig.Metric("throng_prompt_tokens_cached_total"), 0);
  }

  void WithTwoThreads() {
    SCOPED_TRACE("with two threads");
    CompareAll(Rig({.threads = 2, .step_tokens = 100}).Ask(questions_));
  }

  model::Transformer& transformer_;
  const std::string codec_;
  const kv::SoftmaxKind softmax_;
  std::vector<Question> questions_;
  std::vector<Answer> alone_;
  std::unique_ptr<PurityRig> rig_;
};

}  // namespace throng::engine
