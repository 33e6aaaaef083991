// Runs requests through an engine over a real transformer, and keeps the logits of every token.
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
#include "kv/layer_codecs.h"
#include "model/config.h"
#include "model/transformer.h"

namespace throng::engine {

struct Question {
  std::vector<int32_t> prompt;
  int max_tokens;
  std::shared_ptr<const kv::SavedPages> start{};
  bool keep_pages = false;
  float temperature = 0.7f;
  bool keep_logits = true;
};

struct Answer {
  EngineResult result;
  std::vector<std::vector<float>> logits;  // [tokens, vocab], if they are kept
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
  Lookup lookup = Lookup::kAlways;  // guesses must not matter either
  bool prefix_cache = false;
  int budget_tokens = 20000;  // KV budget: what this many tokens of one sequence need
  std::string spill_folder{};
  bool expectations = false;  // before each batch, announce random steps at which the askers are expected
  kv::SoftmaxKind softmax = kv::SoftmaxKind::kExact;
};

class EngineRig {
 public:
  EngineRig(model::Transformer& transformer, const std::string& codec, const Conditions& conditions)
      : vocab_(static_cast<size_t>(transformer.Config().vocab_size)),
        expectations_(conditions.expectations),
        layout_(MakeLayout(transformer.Config(), codec)),
        pool_(MakePool(transformer, layout_, conditions)),
        threads_(conditions.threads),
        engine_(transformer,
                std::make_shared<Vocabulary>(std::vector<std::string>(vocab_, "x"), std::vector<int32_t>{}),
                pool_, threads_,
                {.max_batch = conditions.max_batch,
                 .step_tokens = conditions.step_tokens,
                 .chunk_tokens = conditions.chunk_tokens,
                 .lookup = conditions.lookup,
                 .prefix_cache = conditions.prefix_cache,
                 .max_context = transformer.Config().context_length,
                 .spill_folder = conditions.spill_folder}) {}

  // codec: for all layers, or "KEYS+VALUES|KEYS+VALUES|..." for successive layers, repeated.
  static kv::BlockLayout MakeLayout(const model::ModelConfig& config, const std::string& codec) {
    std::vector<kv::LayerCodecs> given;
    std::istringstream list(codec);
    for (std::string layer; std::getline(list, layer, '|');) {
      const size_t plus = layer.find('+');
      given.push_back({layer.substr(0, plus),
                       plus == std::string::npos ? kv::SplitKeyBias(layer).codec : layer.substr(plus + 1)});
    }
    std::vector<kv::LayerCodecs> layers;
    for (size_t i = 0; i < config.cache_layers.size(); ++i) layers.push_back(given[i % given.size()]);
    return kv::WithReaches(kv::WithStates(kv::MakeLayout(layers, config.cache_layers), config.state_floats),
                           config.cache_reaches);
  }

  // Asks all at once: the engine waits until it has them all, so that timing has no influence.
  std::vector<Answer> Ask(const std::vector<Question>& questions) {
    std::vector<Answer> answers(questions.size());
    size_t num_done = 0;
    std::promise<void> all_submitted;
    EngineRequest gate;
    gate.prompt = {0};
    gate.max_tokens = 1;
    gate.on_done = [&all_submitted, &num_done, this](EngineResult) {
      all_submitted.get_future().wait();
      std::lock_guard lock(mutex_);
      ++num_done;
      done_.notify_all();
    };
    engine_.Submit(std::move(gate));
    for (size_t i = 0; i < questions.size(); ++i) {
      EngineRequest request;
      request.prompt = questions[i].prompt;
      request.max_tokens = questions[i].max_tokens;
      request.start = questions[i].start;
      request.keep_pages = questions[i].keep_pages;
      request.sampling.temperature = questions[i].temperature;
      request.key.agent = static_cast<uint32_t>(questions[i].prompt.front());
      if (expectations_) {
        request.purpose = request.key.agent % 2 == 0 ? "act" : "say";
        engine_.ExpectNext(request.key.agent, static_cast<int32_t>(rng_.NextBelow(1000)));
      }
      if (questions[i].keep_logits) {
        request.on_logits = [&answers, i](int index, std::span<const float> logits) {
          EXPECT_EQ(answers[i].logits.size(), static_cast<size_t>(index));
          answers[i].logits.emplace_back(logits.begin(), logits.end());
        };
      }
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
    done_.wait(lock, [&] { return num_done == questions.size() + 1; });
    return answers;
  }

  Answer Ask(const Question& question) { return Ask(std::vector{question}).front(); }

  kv::BlockPool& Blocks() { return pool_; }
  double Metric(const std::string& name) {  // a counter
    return engine_.Metrics().Counter(name, "").Value();
  }

  static size_t BlockBytes(const model::ModelConfig& config, const std::string& codec) {
    const kv::BlockLayout layout = MakeLayout(config, codec);
    return layout.bytes + layout.sliding_bytes;
  }

 private:
  static kv::BlockPool MakePool(model::Transformer& transformer, const kv::BlockLayout& layout,
                                const Conditions& conditions) {
    const size_t budget = BudgetBytes(layout, conditions.budget_tokens);
    return kv::BlockPool(layout, budget, conditions.softmax,
                         transformer.MakeMemory(layout, conditions.softmax, budget));
  }
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

}  // namespace throng::engine
