// A test double of the transformer: its "keys" are the token ids, and the logits of a position are a hash of
// all tokens that the cache then holds, and of the states of recurrent layers if it has such. So an answer
// shows whether the cache was right, without any weights.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/digest.h"
#include "base/rng.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "kv/layer_codecs.h"
#include "kv/open_codec.h"
#include "model/config.h"
#include "model/transformer.h"

namespace throng::engine {

// The states of a fake's recurrent layers after some tokens: they depend on all of them and on their order.
class FakeStates {
 public:
  explicit FakeStates(std::span<const size_t> floats) {
    for (const size_t count : floats) layers_.emplace_back(count);
  }

  static void Update(std::span<float> state, int32_t token) {
    for (size_t i = 0; i < state.size(); ++i) {
      const int old = static_cast<int>(state[i]);
      state[i] = static_cast<float>((old * 31 + token * 7 + static_cast<int>(i) + 1) % 65521);
    }
  }
  static uint64_t Hash(uint64_t before, std::span<const float> state) {
    return Hasher().Add(before).Bytes(state.data(), state.size_bytes()).Finish().low;
  }

  void Add(int32_t token) {
    for (std::vector<float>& state : layers_) Update(state, token);
  }
  uint64_t Hash() const {  // 0 without layers
    uint64_t hash = 0;
    for (const std::vector<float>& state : layers_) hash = Hash(hash, state);
    return hash;
  }

 private:
  std::vector<std::vector<float>> layers_;
};

class FakeTransformer : public model::Transformer {
 public:
  static constexpr int kHeadDim = 8;

  // state_floats: as in ModelConfig. All KV heads and layers have the same rows. reaches: of each layer.
  explicit FakeTransformer(int vocab, std::vector<size_t> state_floats = {}, int num_kv_heads = 1,
                           std::vector<kv::Reach> reaches = {{}})
      : config_{} {
    config_.state_floats = std::move(state_floats);
    config_.vocab_size = vocab;
    config_.context_length = 2048;
    config_.num_layers = static_cast<int>(reaches.size());
    config_.num_kv_heads = num_kv_heads;
    config_.cache_layers = kv::AlikeLayers(config_.num_layers, num_kv_heads, kHeadDim);
    config_.cache_reaches = std::move(reaches);
    config_.dim = kHeadDim;
    config_.pooling = model::Pooling::kMean;
  }

  static kv::BlockLayout Layout(std::span<const size_t> state_floats = {}) {
    return kv::WithStates(kv::MakeLayout({.kv = "f32", .k = "", .v = ""}, kv::AlikeLayers(1, 1, kHeadDim)),
                          state_floats);
  }

  // The logits that Forward gives for the last of these tokens; they depend on all of them, or on the last
  // `memory`. state: FakeStates::Hash after these tokens.
  static void Logits(std::span<const int32_t> history, std::span<float> logits, size_t memory = SIZE_MAX,
                     uint64_t state = 0) {
    uint64_t hash = state;
    for (const int32_t token : history.last(std::min(memory, history.size())))
      hash = Mix64(hash + 0x9e3779b97f4a7c15ull + static_cast<uint32_t>(token));
    const CounterRng rng(hash);
    for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(rng.At(i) >> 40) * 0x1p-20f;
  }

  const model::ModelConfig& Config() const override { return config_; }
  Digest WeightsDigest() const override { return {}; }

  void Forward(std::span<const model::BatchItem> items, ThreadPool& pool, float* logits) override {
    if (before_forward) before_forward(items);
    ++num_steps;
    most_items = std::max(most_items, items.size());
    size_t num_tokens = 0;
    for (const model::BatchItem& item : items) num_tokens += item.tokens.size();
    most_tokens = std::max(most_tokens, num_tokens);
    num_tokens_computed += num_tokens;
    const auto vocab = static_cast<size_t>(config_.vocab_size);
    for (const model::BatchItem& item : items) {
      Append(item);
      const std::vector<uint64_t> states = RunStates(item);
      const int end = item.cache->NumTokens() + static_cast<int>(item.tokens.size());
      for (int i = item.num_logits; i > 0; --i, logits += vocab) {
        const std::vector<int32_t> history = History(*item.cache, 0, end - i + 1);
        uint64_t state = states[states.size() - static_cast<size_t>(i)];
        for (int layer = 1; layer < config_.num_layers; ++layer) {
          const std::vector<int32_t> seen = History(*item.cache, layer, end - i + 1);
          state = Hasher().Add(state).Bytes(seen.data(), seen.size() * sizeof(int32_t)).Finish().low;
        }
        // A model that sees little repeats itself. Some tokens see all that the cache holds nonetheless.
        const bool sees_all = history.size() % 31 == 0;
        Logits(history, {logits, vocab}, sees_all ? SIZE_MAX : memory, state);
      }
      for (int i = item.num_states; i > 0; --i) {
        const std::vector<int32_t> history = History(*item.cache, 0, end - i + 1);
        Logits(history, {item.states + (item.num_states - i) * kHeadDim, kHeadDim});
      }
      for (int layer = 0; layer < config_.num_layers; ++layer) {
        for (int head = 0; head < config_.num_kv_heads; ++head) item.cache->FinishLayer(layer, head);
      }
      item.cache->EndChunk();
    }
  }

  std::function<void(std::span<const model::BatchItem>)> before_forward;  // may throw
  size_t memory = SIZE_MAX;                                               // tokens that most logits depend on
  std::atomic<size_t> num_steps{0};
  std::atomic<size_t> num_tokens_computed{0};
  size_t most_items = 0;   // most in one step
  size_t most_tokens = 0;  // most in one step

 private:
  void Append(const model::BatchItem& item) const {
    std::vector<float> rows(item.tokens.size() * kHeadDim);
    for (size_t i = 0; i < item.tokens.size(); ++i) rows[i * kHeadDim] = static_cast<float>(item.tokens[i]);
    item.cache->BeginChunk(static_cast<int>(item.tokens.size()));
    for (int layer = 0; layer < config_.num_layers; ++layer) {
      for (int head = 0; head < config_.num_kv_heads; ++head) {
        item.cache->Append(layer, head, {rows.data(), kHeadDim}, {rows.data(), kHeadDim});
      }
    }
  }

  // Lets the recurrent layers see the tokens one by one. Returns the hash of all states after each.
  static std::vector<uint64_t> RunStates(const model::BatchItem& item) {
    std::vector<uint64_t> hashes(item.tokens.size());
    const std::vector<kv::StateSpec>& layers = item.cache->Layout().states;
    for (size_t layer = 0; layer < layers.size(); ++layer) {
      const std::span state(item.cache->State(static_cast<int>(layer)), layers[layer].floats);
      int position = item.cache->NumTokens();
      for (size_t i = 0; i < item.tokens.size(); ++i, ++position) {
        FakeStates::Update(state, item.tokens[i]);
        hashes[i] = FakeStates::Hash(hashes[i], state);
        if ((position + 1) % kv::kPageTokens != 0) continue;
        if (float* kept = item.cache->KeptState(static_cast<int>(layer), position / kv::kPageTokens)) {
          std::ranges::copy(state, kept);
        }
      }
    }
    return hashes;
  }

  // Those of the first num_tokens tokens that the last of them sees, read as attention does: sealed pages,
  // and the open page of the last one.
  std::vector<int32_t> History(const kv::SequenceCache& cache, int layer, int num_tokens) const {
    const kv::PageSpec& spec = cache.Layout().At(layer, 0);
    std::vector<int32_t> tokens;
    float rows[kv::kPageTokens * kHeadDim];
    const int first = config_.cache_reaches[static_cast<size_t>(layer)].First(num_tokens - 1);
    const int last_block = (num_tokens - 1) / kv::kPageTokens;
    for (int block = first / kv::kPageTokens; block <= last_block; ++block) {
      if (block < last_block) {
        const kv::Form form = cache.Layout().window.Seen(block, last_block);
        spec.Values(form).Decode(kv::Part::kValues, cache.Sealed(layer, 0, block, form).values, rows);
      } else {
        spec.open_values->Decode(kv::Part::kValues, cache.Open(layer, 0, block).values, rows);
      }
      for (int i = 0; i < kv::kPageTokens; ++i) {
        const int position = block * kv::kPageTokens + i;
        if (position < first || position >= num_tokens) continue;
        tokens.push_back(static_cast<int32_t>(rows[i * kHeadDim]));
      }
    }
    return tokens;
  }

  model::ModelConfig config_;
};

}  // namespace throng::engine
