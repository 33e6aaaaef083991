#include "gpu/forward.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "device/kernels/all_kernels.h"
#include "kv/codec.h"

namespace throng::gpu {
namespace {

constexpr int kTokens = kv::kPageTokens;

Error Unsupported(const device::Device& device, const std::string& what) {
  return MakeError(ErrorCode::kUnsupported, "{} does not compute {}", device.Name(), what);
}

}  // namespace

CacheShape DeviceModel::ShapeOf(device::Device& device, const model::Model& model) {
  const std::vector<kv::LayerShape>& layers = model.config.cache_layers;
  if (layers.empty()) throw Unsupported(device, "models without attention");
  const kv::LayerShape& first = layers.front();
  for (const kv::LayerShape& layer : layers) {
    if (layer.num_kv_heads != first.num_kv_heads || layer.key_dim != first.key_dim ||
        layer.value_dim != first.key_dim || layer.values_in_keys) {
      throw Unsupported(device, "models whose layers differ in the shape of their keys and values");
    }
  }
  return {static_cast<int>(layers.size()), first.num_kv_heads, first.key_dim};
}

DeviceModel::DeviceModel(device::Device& device, const model::Model& model, const CacheOptions& options)
    : device_(device),
      model_(model),
      cache_(device, options.codec, ShapeOf(device, model), options.budget_bytes, options.open_blocks),
      embedding_(device, model.embedding, "embedding"),
      tied_(model.output.data == model.embedding.data),
      output_norm_(device, model.output_norm),
      output_bias_(Upload(device, model.output_bias)),
      pass_(device),
      tokens_(device),
      stream_(device),
      normed_(device),
      beside_(device),
      added_(device),
      logits_(device) {
  if (!model.positions.empty()) throw Unsupported(device, "learned positions");
  if (!tied_) output_ = DeviceMatrix(device, model.output, "output");
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const auto* layer = dynamic_cast<const model::ResidualLayer*>(model.layers[i].get());
    if (layer == nullptr) throw Unsupported(device, fmt::format("layer {}: it is no sum of residuals", i));
    Layer& to = layers_.emplace_back(Layer{{}, layer->StreamScale()});
    for (const model::Residual& residual : layer->Residuals())
      to.residuals.push_back(MakeResidual(residual, i));
  }
  for (size_t i = 0; i < model.ropes.size(); ++i) pass_.cos_sin.emplace_back(device);
  pass_.cache = &cache_;
}

DeviceModel::Residual DeviceModel::MakeResidual(const model::Residual& residual, size_t layer) {
  if (residual.branches.size() != 1)
    throw Unsupported(device_, fmt::format("layer {}: blocks that run beside others", layer));
  const model::Branch& branch = residual.branches.front();
  const std::string where = fmt::format("layer {}", layer);
  const auto with = [&](std::variant<DeviceAttention, DeviceFeedForward> block) {
    return Residual{DeviceNorm(device_, residual.norm),
                    DeviceNorm(device_, branch.norm),
                    DeviceNorm(device_, branch.post_norm),
                    DeviceNorm(device_, residual.post_norm),
                    std::move(block),
                    residual.scale};
  };
  if (const auto* attention = dynamic_cast<const model::AttentionBlock*>(branch.block.get()))
    return with(DeviceAttention(device_, *attention, where));
  if (const auto* feed_forward = dynamic_cast<const model::FeedForwardBlock*>(branch.block.get()))
    return with(DeviceFeedForward(device_, *feed_forward, where));
  throw Unsupported(device_, fmt::format("layer {}: {}", layer, branch.block->Describe()));
}

size_t DeviceModel::StreamElements() const {
  return static_cast<size_t>(pass_.rows) * static_cast<size_t>(model_.config.dim);
}

void DeviceModel::Check(std::span<const DeviceItem> items) const {
  for (const DeviceItem& item : items) {
    THRONG_CHECK(!item.tokens.empty() && item.num_logits >= 0 &&
                 static_cast<size_t>(item.num_logits) <= item.tokens.size());
    for (const int32_t token : item.tokens) {
      if (token < 0 || token >= model_.config.vocab_size) {
        throw MakeError(ErrorCode::kInvalid, "token {} is not one of the model's 0 to {}", token,
                        model_.config.vocab_size - 1);
      }
    }
  }
}

void DeviceModel::Reserve(std::span<const DeviceItem> items) const {
  FreeBlocks needs;
  for (const DeviceItem& item : items) {
    const auto count = static_cast<int>(item.tokens.size());
    if (item.sequence->NumTokens() + count > item.sequence->MostTokens()) {
      throw MakeError(ErrorCode::kExhausted, "KV cache of {}: a sequence has at most {} tokens",
                      device_.Name(), item.sequence->MostTokens());
    }
    const FreeBlocks of_item = item.sequence->Needs(count);
    needs.open += of_item.open;
    needs.sealed += of_item.sealed;
  }
  const FreeBlocks free = cache_.Free();
  if (needs.open > free.open || needs.sealed > free.sealed) {
    throw MakeError(ErrorCode::kExhausted,
                    "KV cache of {}: the pass needs {} open and {} sealed blocks, and {} and {} are free",
                    device_.Name(), needs.open, needs.sealed, free.open, free.sealed);
  }
  for (const DeviceItem& item : items) item.sequence->Reserve(static_cast<int>(item.tokens.size()));
}

// Where each token's row is written, what it sees, and what is sealed.
void DeviceModel::PlanCache(std::span<const DeviceItem> items) {
  std::vector<device::AppendToken> append;
  std::vector<device::DecodeSequence> attend;
  struct Seal {
    const uint8_t* open;
    uint8_t* sealed;
  };
  std::vector<Seal> seals;
  int most_blocks = 0;
  for (const DeviceItem& item : items) {
    DeviceSequence& sequence = *item.sequence;
    const uint8_t* const* table = sequence.Table();
    const int begin = sequence.NumTokens();
    const int end = begin + static_cast<int>(item.tokens.size());
    for (int position = begin; position < end; ++position) {
      const int block = position / kTokens;
      const int row = position % kTokens;
      const bool begun_here = block * kTokens >= begin;
      const bool clear = begun_here && position + 1 == end && row + 1 < kTokens;
      append.push_back({sequence.OpenBlock(block), row, clear ? 1 : 0});
      attend.push_back({table, sequence.OpenBlock(block), block, row + 1, 0});
      if (row + 1 == kTokens && cache_.Codec().seal)
        seals.push_back({sequence.OpenBlock(block), sequence.SealedBlock(block)});
    }
    most_blocks = std::max(most_blocks, (end - 1) / kTokens + 1);
  }
  pass_.append.Fill(append);
  pass_.attend.Fill(attend);
  pass_.max_splits = (most_blocks + device::kSplitPages - 1) / device::kSplitPages;
  std::vector<device::SealJob> jobs;
  for (int layer = 0; layer < cache_.Shape().layers; ++layer) {
    const Places open = cache_.Open(layer);
    const Places sealed = cache_.Sealed(layer);
    for (const Seal& seal : seals) {
      for (int head = 0; head < cache_.Shape().kv_heads; ++head) {
        for (const bool values : {false, true}) {
          const auto* rows = seal.open + (values ? open.values : open.keys) + head * open.head_stride;
          uint8_t* page = seal.sealed + (values ? sealed.values : sealed.keys) + head * sealed.head_stride;
          jobs.push_back({reinterpret_cast<const uint16_t*>(rows), page, values ? 1 : 0});
        }
      }
    }
  }
  pass_.num_seals = static_cast<int>(jobs.size()) / cache_.Shape().layers;
  pass_.seals.Fill(jobs);
}

void DeviceModel::WriteRopes(std::span<const DeviceItem> items) {
  for (const auto& rope : model_.ropes) {
    std::vector<float> cos_sin(static_cast<size_t>(pass_.rows) * 2 * rope->Pairs());
    float* row = cos_sin.data();
    for (const DeviceItem& item : items) {
      const int begin = item.sequence->NumTokens();
      const int end = begin + static_cast<int>(item.tokens.size());
      for (int position = begin; position < end; ++position, row += 2 * rope->Pairs())
        rope->table.Write(position, row, row + rope->Pairs());
    }
    pass_.cos_sin[rope->index].Fill(cos_sin);
  }
}

// Plans the pass, and writes embeddings.
void DeviceModel::Begin(std::span<const DeviceItem> items) {
  std::vector<int32_t> tokens;
  for (const DeviceItem& item : items) tokens.insert(tokens.end(), item.tokens.begin(), item.tokens.end());
  pass_.rows = static_cast<int>(tokens.size());
  PlanCache(items);
  WriteRopes(items);
  const int dim = model_.config.dim;
  const device::EmbedArgs args{.table = embedding_.Data(),
                               .row_bytes = embedding_.RowBytes(),
                               .tokens = tokens_.Fill(tokens),
                               .out = stream_.Reserve(StreamElements()),
                               .width = dim};
  constexpr int kThreads = device::EmbedRows<device::FloatWeights>::kThreads;
  device_.Launch(embedding_.Kernels().embed, {(dim + kThreads - 1) / kThreads, pass_.rows, 1}, &args);
  if (model_.embedding_scale == 1.0f) return;
  Map(device_, device::RowOp::kScale, args.out, static_cast<int64_t>(StreamElements()), nullptr, 1,
      model_.embedding_scale);
}

void DeviceModel::Run(const Residual& residual) {
  const int dim = model_.config.dim;
  const auto elements = static_cast<int64_t>(StreamElements());
  const float* in = stream_.Data();
  if (residual.norm) {
    residual.norm.Apply(device_, in, pass_.rows, dim, normed_.Reserve(StreamElements()));
    in = normed_.Data();
  }
  if (residual.branch_norm) {
    residual.branch_norm.Apply(device_, in, pass_.rows, dim, beside_.Reserve(StreamElements()));
    in = beside_.Data();
  }
  float* const added = added_.Reserve(StreamElements());
  std::visit([&](const auto& block) { block.Run(pass_, in, added); }, residual.block);
  for (const DeviceNorm* norm : {&residual.branch_post_norm, &residual.post_norm}) {
    if (*norm) norm->Apply(device_, added, pass_.rows, dim, added);
  }
  if (residual.scale != 1.0f)
    Map(device_, device::RowOp::kScale, added, elements, nullptr, 1, residual.scale);
  Map(device_, device::RowOp::kAdd, stream_.Data(), elements, added, elements);
}

const float* DeviceModel::Logits(std::span<const DeviceItem> items) {
  const int dim = model_.config.dim;
  const int vocab = model_.config.vocab_size;
  const float* states = stream_.Data();
  if (output_norm_) {
    output_norm_.Apply(device_, states, pass_.rows, dim, normed_.Reserve(StreamElements()));
    states = normed_.Data();
  }
  int rows = 0;
  for (const DeviceItem& item : items) rows += item.num_logits;
  if (rows == 0) return nullptr;
  float* const logits = logits_.Reserve(static_cast<size_t>(rows) * static_cast<size_t>(vocab));
  // Rows that follow each other are multiplied together: in a batch of single tokens, all of them.
  int end = 0;   // of the rows so far
  int done = 0;  // of `rows`
  int run = 0;   // rows before `end` that wait
  const auto multiply = [&](int last) {
    if (run == 0) return;
    pass_.multiplier.SetRows(states + int64_t{last - run} * dim, run, dim);
    pass_.multiplier.Multiply(tied_ ? embedding_ : output_, logits + int64_t{done} * vocab, vocab);
    done += run;
    run = 0;
  };
  for (const DeviceItem& item : items) {
    const int tokens = static_cast<int>(item.tokens.size());
    if (item.num_logits < tokens) multiply(end);
    end += tokens;
    run += item.num_logits;
  }
  multiply(end);
  const auto elements = int64_t{rows} * vocab;
  AddBias(device_, output_bias_, logits, rows, vocab);
  if (model_.logit_scale != 1.0f)
    Map(device_, device::RowOp::kScale, logits, elements, nullptr, 1, model_.logit_scale);
  if (model_.logit_cap != 0.0f)
    Map(device_, device::RowOp::kSoftCap, logits, elements, nullptr, 1, model_.logit_cap);
  return logits;
}

const float* DeviceModel::Forward(std::span<const DeviceItem> items) {
  if (items.empty()) return nullptr;
  Check(items);
  Reserve(items);
  Begin(items);
  for (const Layer& layer : layers_) {
    for (const Residual& residual : layer.residuals) Run(residual);
    if (layer.scale == 1.0f) continue;
    Map(device_, device::RowOp::kScale, stream_.Data(), static_cast<int64_t>(StreamElements()), nullptr, 1,
        layer.scale);
  }
  const float* logits = Logits(items);
  device_.Wait();
  for (const DeviceItem& item : items) item.sequence->Commit();
  return logits;
}

}  // namespace throng::gpu
