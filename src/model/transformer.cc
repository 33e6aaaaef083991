#include "model/transformer.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/thread_pool.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "model/blocks/step.h"
#include "model/gguf/gguf.h"
#include "model/key_bias.h"
#include "model/matmul/block_formats.h"
#include "model/model.h"
#include "model/row_ops.h"

namespace throng::model {
namespace {

// Weights up to this size stay in the caches of a processor, so each thread may read all of them.
constexpr size_t kSmallModelBytes = 16 << 20;
// Weights are repacked before the first pass of at most so many tokens. Larger ones gain nothing, and the
// first token of an answer would wait for the copy.
constexpr size_t kRepackTokens = 16;

// Writes embeddings and rotations.
void Begin(const Model& model, Step& step) {
  Buffers& buffers = step.GetBuffers();
  const auto dim = static_cast<size_t>(model.config.dim);
  buffers.stream.Resize(step.NumRows(), dim);
  buffers.ropes.resize(model.ropes.size());
  for (const auto& rope : model.ropes) buffers.ropes[rope->index].Resize(step.NumRows(), 2 * rope->Pairs());
  const Matrix& table = model.embedding;
  size_t row = 0;
  for (const BatchItem& item : step.Items()) {
    int position = item.cache->NumTokens();
    for (const int32_t token : item.tokens) {
      float* x = buffers.stream[row];
      DequantizeRow(table.type, table.data + static_cast<size_t>(token) * table.RowBytes(), dim, x);
      if (model.embedding_scale != 1.0f) Scale(x, model.embedding_scale, dim);
      if (!model.positions.empty())
        AddTo(x, model.positions.data() + static_cast<size_t>(position) * dim, dim);
      for (const auto& rope : model.ropes) {
        float* cos_sin = buffers.ropes[rope->index][row];
        rope->table.Write(position, cos_sin, cos_sin + rope->Pairs());
      }
      ++position;
      ++row;
    }
  }
}

// Hands out the rows of states, and moves those that need logits to the front. Returns their number.
size_t TakeStates(const Step& step, Rows& normed) {
  size_t from = 0;
  size_t to = 0;
  for (const BatchItem& item : step.Items()) {
    std::copy_n(normed[from], static_cast<size_t>(item.num_states) * normed.Width(), item.states);
    from += LastRows(item);
    const auto num_logits = static_cast<size_t>(item.num_logits);
    if (from - num_logits != to)
      std::copy_n(normed[from - num_logits], num_logits * normed.Width(), normed[to]);
    to += num_logits;
  }
  return to;
}

void Logits(const Model& model, const Step& step, const Rows& states, size_t rows, float* logits) {
  const auto vocab = static_cast<size_t>(model.config.vocab_size);
  const Product product{model.output, logits, vocab};
  MatMul(states[0], rows, states.Width(), states.Width(), {&product, 1}, step.GetBuffers().matmul,
         step.Pool());
  if (model.output_bias.empty() && model.logit_scale == 1.0f && model.logit_cap == 0.0f) return;
  step.ForEach(rows, vocab > 10000, [&](size_t r) {
    float* row = logits + r * vocab;
    if (!model.output_bias.empty()) AddTo(row, model.output_bias.data(), vocab);
    if (model.logit_scale != 1.0f) Scale(row, model.logit_scale, vocab);
    if (model.logit_cap != 0.0f) SoftCap(row, model.logit_cap, vocab);
  });
}

// One forward pass of some sequences, on all threads of a pool or, if it is null, on this one.
void Run(const Model& model, const ModelKeys& keys, std::span<const BatchItem> items, float* logits,
         ThreadPool* pool, Buffers& buffers) {
  Step step(items, pool, buffers);
  for (const BatchItem& item : items) step.stored_keys.push_back(keys.Find(item.cache->Layout()));
  Begin(model, step);
  for (size_t i = 0; i < model.layers.size(); ++i) {
    model.layers[i]->Run(step, i == model.last_filling);
    if (step.NumRows() == 0) return;
  }
  const size_t dim = buffers.stream.Width();
  buffers.normed.Resize(step.NumRows(), dim);
  step.ForRows(dim / 4, [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      model.output_norm.Apply(buffers.stream[r], dim, buffers.normed[r]);
    }
  });
  const size_t rows = TakeStates(step, buffers.normed);
  if (rows > 0) Logits(model, step, buffers.normed, rows, logits);
}

size_t NumTokens(std::span<const BatchItem> items) {
  size_t tokens = 0;
  for (const BatchItem& item : items) tokens += item.tokens.size();
  return tokens;
}

struct Part {
  std::span<const BatchItem> items;
  float* logits;
  size_t tokens;
};

class LoadedTransformer final : public Transformer {
 public:
  LoadedTransformer(const GgufFile& file, const LoadOptions& options)
      : file_(file),
        options_(options),
        model_(BuildModel(file, options.context)),
        keys_(*model_),
        repack_(options.repack && !options.exact_activations) {}

  const ModelConfig& Config() const override { return model_->config; }
  Digest WeightsDigest() const override {
    std::call_once(digest_once_, [&] {
      digest_ = Hasher().Add(DigestOfModel(file_, *model_)).Add(options_.exact_activations).Finish();
    });
    return digest_;
  }

  attention::Rotation KeyRotation(int layer) const override { return keys_.RotationOf(layer); }
  std::shared_ptr<const attention::KeyBias> KeyBias() const override { return keys_.OfModel(); }

  size_t BytesToRepack() const override { return repack_ ? model_->bytes : 0; }
  void Repack(ThreadPool& pool) override {
    if (std::exchange(repack_, false)) model::Repack(*model_, pool);
  }

  void Forward(std::span<const BatchItem> items, ThreadPool& pool, float* logits) override {
    if (items.empty()) return;
    for (const BatchItem& item : items) {
      Check(item);
      keys_.Prepare(item.cache->Layout());
    }
    if (NumTokens(items) <= kRepackTokens) Repack(pool);
    for (const BatchItem& item : items) item.cache->BeginChunk(static_cast<int>(item.tokens.size()));
    const std::vector<Part> parts = Split(items, static_cast<size_t>(pool.NumThreads()), logits);
    while (buffers_.size() < parts.size()) {
      buffers_.emplace_back().matmul.exact_activations = options_.exact_activations;
    }
    if (parts.size() == 1) {
      Run(*model_, keys_, items, logits, pool.NumThreads() > 1 ? &pool : nullptr, buffers_[0]);
    } else {
      pool.ParallelFor(parts.size(), [&](size_t i, int) {
        Run(*model_, keys_, parts[i].items, parts[i].logits, nullptr, buffers_[i]);
      });
    }
    for (const BatchItem& item : items) item.cache->EndChunk();
  }

 private:
  void Check(const BatchItem& item) const {
    THRONG_CHECK(!item.tokens.empty() && item.num_logits >= 0 && item.num_states >= 0 &&
                 (item.num_logits == 0 || item.num_states == 0) && LastRows(item) <= item.tokens.size());
    const kv::BlockLayout& layout = item.cache->Layout();
    THRONG_CHECK(layout.layers == model_->config.cache_layers &&
                 std::ranges::equal(layout.states, model_->config.state_floats, {}, &kv::StateSpec::floats));
    const int end = item.cache->NumTokens() + static_cast<int>(item.tokens.size());
    if (!model_->positions.empty() && end > model_->config.context_length) {
      throw MakeError(ErrorCode::kInvalid, "position {} is not one of the model's 0 to {}, which are learned",
                      end - 1, model_->config.context_length - 1);
    }
    for (const int32_t token : item.tokens) {
      if (token < 0 || token >= model_->config.vocab_size) {
        throw MakeError(ErrorCode::kInvalid, "token {} is not one of the model's 0 to {}", token,
                        model_->config.vocab_size - 1);
      }
    }
  }

  // Splits a small model's sequences into one part per thread, without a barrier after each product, if the
  // parts are about equal. Otherwise makes one part, and the threads share each product.
  std::vector<Part> Split(std::span<const BatchItem> items, size_t threads, float* logits) const {
    const size_t total = NumTokens(items);
    const Part whole{items, logits, total};
    if (threads == 1 || items.size() < threads || model_->bytes > kSmallModelBytes) return {whole};
    std::vector<Part> parts;
    size_t begin = 0;
    size_t done = 0;
    for (size_t i = 0; i < items.size(); ++i) {
      done += items[i].tokens.size();
      // Ends a part where the running sum reaches its share.
      if (done * threads < total * (parts.size() + 1) && i + 1 < items.size()) continue;
      Part part{items.subspan(begin, i + 1 - begin), logits, 0};
      for (const BatchItem& item : part.items) {
        part.tokens += item.tokens.size();
        logits += static_cast<size_t>(item.num_logits) * static_cast<size_t>(model_->config.vocab_size);
      }
      if (part.tokens * threads * 2 > total * 3) return {whole};
      parts.push_back(part);
      begin = i + 1;
    }
    return parts;
  }

  const GgufFile& file_;
  const LoadOptions options_;
  const std::unique_ptr<Model> model_;
  ModelKeys keys_;
  bool repack_;  // still to be done
  mutable std::once_flag digest_once_;
  mutable Digest digest_;         // once digest_once_ is set
  std::vector<Buffers> buffers_;  // one per part
};

}  // namespace

std::unique_ptr<kv::BlockMemory> Transformer::MakeMemory(const kv::BlockLayout& layout, kv::SoftmaxKind,
                                                         size_t) {
  return kv::MakeHostMemory(layout);
}

uint64_t Transformer::FreeBytes() const {
  const uint64_t available = AvailableBytes();
  return available - std::min<uint64_t>(available, BytesToRepack());
}

std::unique_ptr<Transformer> LoadTransformer(const GgufFile& file, const LoadOptions& options) {
  return std::make_unique<LoadedTransformer>(file, options);
}

}  // namespace throng::model
