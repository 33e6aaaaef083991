#include "model/transformer.h"

#include <algorithm>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "attention/attention.h"
#include "base/check.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "model/config.h"
#include "model/gguf/gguf.h"
#include "model/key_bias.h"
#include "model/matmul/block_formats.h"
#include "model/matmul/matmul.h"
#include "model/rope.h"
#include "model/row_ops.h"
#include "model/weights.h"

namespace throng::model {
namespace {

constexpr int kCachedPositions = 4096;  // in the rope table; a few megabytes at most
// Weights up to this size stay in the caches of a processor, so each thread may read all of them.
constexpr size_t kSmallModelBytes = 16 << 20;
// Weights are repacked before the first pass of at most so many tokens. Larger ones gain nothing, and the
// first token of an answer would wait for the copy.
constexpr size_t kRepackTokens = 16;

using RowRange = std::function<void(size_t first, size_t count)>;

// Rows of the running pass for a group of sequences, in order of items and tokens. Kept from pass to pass.
struct Buffers {
  std::vector<float> stream;      // [rows, dim]
  std::vector<float> normed;      // [rows, dim]; also the sums that attention and feed-forward add
  std::vector<float> q;           // [rows, query_dim]
  std::vector<float> k, v;        // [rows, kv_dim]
  std::vector<float> attended;    // [rows, query_dim]
  std::vector<float> gate, up;    // [rows, ffn_dim]
  std::vector<float> rope;        // [rows, 2, rope_dim / 2]
  std::vector<float> local_rope;  // rope for windowed layers; empty if all layers share one
  MatMulScratch matmul;
  std::vector<attention::AttentionScratch> attention;
};

float* Row(std::vector<float>& rows, size_t row, size_t size) { return rows.data() + row * size; }

struct Model {
  Model(const GgufFile& file, const LoadOptions& load_options)
      : options(load_options), config(ReadConfig(file)), weights(ReadWeights(file, config)) {
    const int cached = std::min(config.context_length, kCachedPositions);
    rope.emplace(config.rope_dim, config.rope_base, config.rope_scale, weights.rope_factors, cached);
    if (config.window > 0 && config.window_pattern > 1) {
      local_rope.emplace(config.rope_dim, config.window_rope_base, 1.0, std::span<const float>(), cached);
      local_rotation = {local_rope->Frequencies(), config.rope_neox};
    }
    rotation = {rope->Frequencies(), config.rope_neox};
    std::vector<const attention::Rotation*> rotations;
    for (int layer = 0; layer < config.num_layers; ++layer) {
      rotations.push_back(IsLocal(layer) ? &local_rotation : &rotation);
    }
    keys.emplace(config, weights, std::move(rotations));
  }
  Model(const Model&) = delete;  // `keys` points to members

  bool IsLocal(int layer) const { return local_rope && config.IsWindowed(layer); }

  LoadOptions options;
  ModelConfig config;
  Weights weights;
  std::optional<RopeTable> rope;
  std::optional<RopeTable> local_rope;  // for windowed layers, if they need another
  attention::Rotation rotation, local_rotation;
  std::optional<ModelKeys> keys;
};

// Of these tokens, the last ones, the last layer computes more than keys and values.
size_t LastRows(const BatchItem& item) { return static_cast<size_t>(item.num_logits + item.num_states); }

// One forward pass of some sequences, on all threads of a pool or, if it is null, on this one.
class Pass {
 public:
  Pass(const Model& model, std::span<const BatchItem> items, float* logits, ThreadPool* pool,
       Buffers& buffers)
      : model_(model), config_(model.config), items_(items), logits_(logits), pool_(pool), buffers_(buffers) {
    for (const BatchItem& item : items) {
      rows_ += item.tokens.size();
      last_rows_ += LastRows(item);
      keys_.resize(rows_, model.keys->Find(item.cache->Layout()));
    }
    dim_ = static_cast<size_t>(config_.dim);
    query_dim_ = static_cast<size_t>(config_.QueryDim());
    kv_dim_ = static_cast<size_t>(config_.KvDim());
    ffn_dim_ = static_cast<size_t>(config_.ffn_dim);
    head_dim_ = static_cast<size_t>(config_.head_dim);
    pairs_ = static_cast<size_t>(config_.rope_dim) / 2;
  }

  void Run() {
    Prepare();
    for (int layer = 0; layer < config_.num_layers; ++layer) {
      const bool last = layer + 1 == config_.num_layers;
      AttentionInputs(layer);
      Attend(layer, last);
      if (last) KeepLastRows();
      if (rows_ == 0) return;
      AttentionOutput(layer);
      FeedForward(layer);
    }
    NormStream(model_.weights.output_norm);
    TakeStates();
    if (rows_ > 0) Logits();
  }

 private:
  // Calls body for ranges of all rows, each element costing about ns_per_row.
  void ForRows(size_t ns_per_row, const RowRange& body) const {
    constexpr size_t kTaskNs = 20000;
    const size_t per_task = std::max<size_t>(1, kTaskNs / std::max<size_t>(1, ns_per_row));
    if (!pool_ || rows_ < 2 * per_task) return body(0, rows_);
    pool_->ParallelFor((rows_ + per_task - 1) / per_task, [&](size_t task, int) {
      body(task * per_task, std::min(per_task, rows_ - task * per_task));
    });
  }

  void Multiply(const std::vector<float>& x, size_t cols, std::span<const Product> products) const {
    MatMul(x.data(), rows_, cols, cols, products, buffers_.matmul, pool_);
  }

  // Makes room, and writes embeddings and rotations.
  void Prepare() {
    const auto grow = [&](std::vector<float>& buffer, size_t size) {
      if (buffer.size() < rows_ * size) buffer.resize(rows_ * size);
    };
    grow(buffers_.stream, dim_);
    grow(buffers_.normed, dim_);
    grow(buffers_.q, query_dim_);
    grow(buffers_.k, kv_dim_);
    grow(buffers_.v, kv_dim_);
    grow(buffers_.attended, query_dim_);
    grow(buffers_.gate, ffn_dim_);
    grow(buffers_.up, ffn_dim_);
    grow(buffers_.rope, 2 * pairs_);
    if (model_.local_rope) grow(buffers_.local_rope, 2 * pairs_);
    if (buffers_.attention.empty()) buffers_.attention.resize(1);
    buffers_.matmul.exact_activations = model_.options.exact_activations;
    const Matrix& table = model_.weights.embedding;
    size_t row = 0;
    for (const BatchItem& item : items_) {
      int position = item.cache->NumTokens();
      for (const int32_t token : item.tokens) {
        float* x = Row(buffers_.stream, row, dim_);
        DequantizeRow(table.type, table.data + static_cast<size_t>(token) * table.RowBytes(), dim_, x);
        if (config_.embedding_scale != 1.0f) Scale(x, config_.embedding_scale, dim_);
        float* rope = Row(buffers_.rope, row, 2 * pairs_);
        model_.rope->Write(position, rope, rope + pairs_);
        if (model_.local_rope) {
          float* local = Row(buffers_.local_rope, row, 2 * pairs_);
          model_.local_rope->Write(position, local, local + pairs_);
        }
        ++position;
        ++row;
      }
    }
  }

  // normed = RMSNorm(stream)
  void NormStream(const std::vector<float>& weight) {
    ForRows(dim_ / 4, [&](size_t first, size_t count) {
      for (size_t r = first; r < first + count; ++r) {
        RmsNorm(Row(buffers_.stream, r, dim_), weight.data(), config_.rms_epsilon, dim_,
                Row(buffers_.normed, r, dim_));
      }
    });
  }

  // stream += normed, which holds the output of attention or feed-forward; post_norm may be empty.
  void AddToStream(const std::vector<float>& post_norm) {
    ForRows(dim_ / 4, [&](size_t first, size_t count) {
      for (size_t r = first; r < first + count; ++r) {
        float* y = Row(buffers_.normed, r, dim_);
        if (!post_norm.empty()) RmsNorm(y, post_norm.data(), config_.rms_epsilon, dim_, y);
        AddTo(Row(buffers_.stream, r, dim_), y, dim_);
      }
    });
  }

  // Norm and rotation of all heads of one row of queries or keys. offset: added in between, or empty.
  void FinishHeads(float* heads, int num_heads, const std::vector<float>& norm,
                   const std::vector<float>& offset, const float* rope) const {
    for (int h = 0; h < num_heads; ++h) {
      float* head = heads + static_cast<size_t>(h) * head_dim_;
      if (!norm.empty()) RmsNorm(head, norm.data(), config_.rms_epsilon, head_dim_, head);
      if (!offset.empty()) AddTo(head, offset.data() + static_cast<size_t>(h) * head_dim_, head_dim_);
      const auto rotate = config_.rope_neox ? RotateHalves : RotateAdjacent;
      rotate(head, rope, rope + pairs_, 2 * pairs_);
    }
  }

  void AttentionInputs(int layer_index) {
    const LayerWeights& layer = model_.weights.layers[static_cast<size_t>(layer_index)];
    NormStream(layer.attention_norm);
    // The softmax multiplies errors of queries and keys: with 8 bits alone they made nine tenths of the
    // logits' error.
    constexpr bool kFine = true;
    const Product products[] = {{layer.q, buffers_.q.data(), query_dim_, kFine},
                                {layer.k, buffers_.k.data(), kv_dim_, kFine},
                                {layer.v, buffers_.v.data(), kv_dim_}};
    Multiply(buffers_.normed, dim_, products);
    std::vector<float>& ropes = model_.IsLocal(layer_index) ? buffers_.local_rope : buffers_.rope;
    const std::vector<float> none;
    ForRows(query_dim_, [&](size_t first, size_t count) {
      for (size_t r = first; r < first + count; ++r) {
        float* q = Row(buffers_.q, r, query_dim_);
        float* k = Row(buffers_.k, r, kv_dim_);
        const StoredKeys::Layer* stored =
            keys_[r] == nullptr ? nullptr : &keys_[r]->layers[static_cast<size_t>(layer_index)];
        if (!layer.q_bias.empty()) {
          AddTo(q, layer.q_bias.data(), query_dim_);
          AddTo(k, (stored == nullptr ? layer.k_bias : stored->added).data(), kv_dim_);
          AddTo(Row(buffers_.v, r, kv_dim_), layer.v_bias.data(), kv_dim_);
        }
        const float* rope = Row(ropes, r, 2 * pairs_);
        FinishHeads(q, config_.num_heads, layer.q_norm, none, rope);
        FinishHeads(k, config_.num_kv_heads, layer.k_norm, stored == nullptr ? none : stored->offset, rope);
      }
    });
  }

  // Calls body(item, first row of the item, head) for all.
  void ForHeads(bool parallel, const std::function<void(const BatchItem&, size_t, int)>& body) const {
    const auto heads = static_cast<size_t>(config_.num_kv_heads);
    std::vector<size_t> first_rows;
    size_t row = 0;
    for (const BatchItem& item : items_) {
      first_rows.push_back(row);
      row += item.tokens.size();
    }
    const auto run = [&](size_t i, int) {
      body(items_[i / heads], first_rows[i / heads], static_cast<int>(i % heads));
    };
    if (parallel) return pool_->ParallelFor(items_.size() * heads, run);
    for (size_t i = 0; i < items_.size() * heads; ++i) run(i, 0);
  }

  // Encoding a full page is real work; copying rows to an open page is not.
  bool FillsPages() const {
    return std::any_of(items_.begin(), items_.end(), [](const BatchItem& item) {
      const int before = item.cache->NumTokens();
      return before / kv::kPageTokens != (before + static_cast<int>(item.tokens.size())) / kv::kPageTokens;
    });
  }

  void Attend(int layer, bool last) {
    ForHeads(pool_ && FillsPages(), [&](const BatchItem& item, size_t row, int head) {
      const size_t at = row * kv_dim_ + static_cast<size_t>(head) * head_dim_;
      item.cache->Append(layer, head, buffers_.k.data() + at, buffers_.v.data() + at, kv_dim_);
    });
    std::vector<attention::AttentionJob> jobs;
    ForHeads(false, [&](const BatchItem& item, size_t row, int head) {
      const int tokens = static_cast<int>(item.tokens.size());
      // In the last layer, only rows that need logits go on.
      const int first = last ? tokens - static_cast<int>(LastRows(item)) : 0;
      if (first == tokens) return;
      attention::AttentionJob job{};
      job.cache = item.cache;
      job.layer = layer;
      job.kv_head = head;
      job.group = config_.num_heads / config_.num_kv_heads;
      job.first_token = first;
      job.num_tokens = tokens - first;
      const size_t at = row * query_dim_ + static_cast<size_t>(head * job.group) * head_dim_;
      job.queries = buffers_.q.data() + at;
      job.query_stride = query_dim_;
      job.out = buffers_.attended.data() + at;
      job.out_stride = query_dim_;
      job.scale = config_.attention_scale;
      job.window = config_.IsWindowed(layer) ? config_.window : 0;
      job.softmax = item.cache->Pool().Softmax();
      if (keys_[row] != nullptr) {
        job.key_bias = &(*keys_[row]->bias)[static_cast<size_t>(layer)].heads[static_cast<size_t>(head)];
        if (job.key_bias->pairs.empty()) job.key_bias = nullptr;
      }
      jobs.push_back(job);
    });
    if (pool_ && !jobs.empty()) {
      attention::AttendAll(jobs, *pool_, buffers_.attention);
    } else {
      for (const auto& job : jobs) attention::Attend(job, buffers_.attention[0]);
    }
    ForHeads(false, [&](const BatchItem& item, size_t, int head) { item.cache->FinishLayer(layer, head); });
  }

  // Moves the rows that go on to the front: only the keys and values of the others are needed.
  void KeepLastRows() {
    size_t from = 0;
    size_t to = 0;
    for (const BatchItem& item : items_) {
      from += item.tokens.size();
      for (size_t r = from - LastRows(item); r < from; ++r, ++to) {
        std::copy_n(Row(buffers_.stream, r, dim_), dim_, Row(buffers_.stream, to, dim_));
        std::copy_n(Row(buffers_.attended, r, query_dim_), query_dim_,
                    Row(buffers_.attended, to, query_dim_));
      }
    }
    rows_ = last_rows_;
  }

  void AttentionOutput(int layer_index) {
    const LayerWeights& layer = model_.weights.layers[static_cast<size_t>(layer_index)];
    const Product product{layer.output, buffers_.normed.data(), dim_};
    Multiply(buffers_.attended, query_dim_, {&product, 1});
    AddToStream(layer.post_attention_norm);
  }

  void FeedForward(int layer_index) {
    const LayerWeights& layer = model_.weights.layers[static_cast<size_t>(layer_index)];
    NormStream(layer.ffn_norm);
    const Product products[] = {{layer.gate, buffers_.gate.data(), ffn_dim_},
                                {layer.up, buffers_.up.data(), ffn_dim_}};
    Multiply(buffers_.normed, dim_, products);
    const auto gate = config_.activation == Activation::kSilu ? GateSilu : GateGelu;
    ForRows(ffn_dim_, [&](size_t first, size_t count) {
      for (size_t r = first; r < first + count; ++r) {
        gate(Row(buffers_.gate, r, ffn_dim_), Row(buffers_.up, r, ffn_dim_), ffn_dim_);
      }
    });
    const Product down{layer.down, buffers_.normed.data(), dim_};
    Multiply(buffers_.gate, ffn_dim_, {&down, 1});
    AddToStream(layer.post_ffn_norm);
  }

  // Hands out the rows of states, and moves those that need logits to the front.
  void TakeStates() {
    size_t from = 0;
    size_t to = 0;
    for (const BatchItem& item : items_) {
      const float* states = Row(buffers_.normed, from, dim_);
      std::copy_n(states, static_cast<size_t>(item.num_states) * dim_, item.states);
      from += LastRows(item);
      const auto num_logits = static_cast<size_t>(item.num_logits);
      if (from - num_logits != to)
        std::copy_n(Row(buffers_.normed, from - num_logits, dim_), num_logits * dim_,
                    Row(buffers_.normed, to, dim_));
      to += num_logits;
    }
    rows_ = to;
  }

  void Logits() {
    const Product product{model_.weights.output, logits_, static_cast<size_t>(config_.vocab_size)};
    Multiply(buffers_.normed, dim_, {&product, 1});
  }

  const Model& model_;
  const ModelConfig& config_;
  std::span<const BatchItem> items_;
  float* logits_;
  ThreadPool* pool_;
  Buffers& buffers_;
  std::vector<const StoredKeys*> keys_;  // [rows]; null: whole keys are stored
  size_t rows_ = 0;
  size_t last_rows_ = 0;  // those that the last layer computes
  size_t dim_, query_dim_, kv_dim_, ffn_dim_, head_dim_, pairs_;
};

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

class LlamaTransformer final : public Transformer {
 public:
  LlamaTransformer(const GgufFile& file, const LoadOptions& options)
      : file_(file), model_(file, options), repack_(options.repack && !options.exact_activations) {}

  const ModelConfig& Config() const override { return model_.config; }
  Digest WeightsDigest() const override {
    std::call_once(digest_once_, [&] {
      digest_ =
          Hasher().Add(DigestOfModel(file_, model_.config)).Add(model_.options.exact_activations).Finish();
    });
    return digest_;
  }

  attention::Rotation KeyRotation(int layer) const override { return model_.keys->RotationOf(layer); }
  std::shared_ptr<const attention::KeyBias> KeyBias() const override { return model_.keys->OfModel(); }

  size_t BytesToRepack() const override { return repack_ ? model_.weights.bytes : 0; }
  void Repack(ThreadPool& pool) override {
    if (std::exchange(repack_, false)) model::Repack(model_.weights, pool);
  }

  void Forward(std::span<const BatchItem> items, ThreadPool& pool, float* logits) override {
    if (items.empty()) return;
    for (const BatchItem& item : items) {
      Check(item);
      model_.keys->Prepare(item.cache->Layout());
    }
    if (NumTokens(items) <= kRepackTokens) Repack(pool);
    for (const BatchItem& item : items) item.cache->BeginChunk(static_cast<int>(item.tokens.size()));
    const std::vector<Part> parts = Split(items, static_cast<size_t>(pool.NumThreads()), logits);
    if (buffers_.size() < parts.size()) buffers_.resize(parts.size());
    if (parts.size() == 1) {
      Pass(model_, items, logits, pool.NumThreads() > 1 ? &pool : nullptr, buffers_[0]).Run();
    } else {
      pool.ParallelFor(parts.size(), [&](size_t i, int) {
        Pass(model_, parts[i].items, parts[i].logits, nullptr, buffers_[i]).Run();
      });
    }
    for (const BatchItem& item : items) item.cache->EndChunk();
  }

 private:
  void Check(const BatchItem& item) const {
    THRONG_CHECK(!item.tokens.empty() && item.num_logits >= 0 && item.num_states >= 0 &&
                 (item.num_logits == 0 || item.num_states == 0) && LastRows(item) <= item.tokens.size());
    const kv::BlockLayout& layout = item.cache->Layout();
    THRONG_CHECK(layout.num_layers == model_.config.num_layers &&
                 layout.num_kv_heads == model_.config.num_kv_heads &&
                 layout.head_dim == model_.config.head_dim &&
                 std::ranges::equal(layout.states, model_.config.state_floats, {}, &kv::StateSpec::floats));
    for (const int32_t token : item.tokens) {
      if (token < 0 || token >= model_.config.vocab_size) {
        throw MakeError(ErrorCode::kInvalid, "token {} is not one of the model's 0 to {}", token,
                        model_.config.vocab_size - 1);
      }
    }
  }

  // Splits a small model's sequences into one part per thread, without a barrier after each product, if the
  // parts are about equal. Otherwise makes one part, and the threads share each product.
  std::vector<Part> Split(std::span<const BatchItem> items, size_t threads, float* logits) const {
    const size_t total = NumTokens(items);
    const Part whole{items, logits, total};
    if (threads == 1 || items.size() < threads || model_.weights.bytes > kSmallModelBytes) return {whole};
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
        logits += static_cast<size_t>(item.num_logits) * static_cast<size_t>(model_.config.vocab_size);
      }
      if (part.tokens * threads * 2 > total * 3) return {whole};
      parts.push_back(part);
      begin = i + 1;
    }
    return parts;
  }

  const GgufFile& file_;
  Model model_;
  bool repack_;  // still to be done
  mutable std::once_flag digest_once_;
  mutable Digest digest_;         // once digest_once_ is set
  std::vector<Buffers> buffers_;  // one per part
};

}  // namespace

std::unique_ptr<Transformer> LoadTransformer(const GgufFile& file, const LoadOptions& options) {
  return std::make_unique<LlamaTransformer>(file, options);
}

}  // namespace throng::model
