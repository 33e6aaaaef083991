#include "gpu/forward.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "attention/sas.h"
#include "base/error.h"
#include "device/kernels/all_kernels.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "kv/gear/gear_encode.h"

namespace throng::gpu {
namespace {

using kv::BlockKind;

constexpr int kTokens = kv::kPageTokens;

// From this many tokens on, reading pages once for all of a tile pays more than spreading each token's pages
// over blocks of threads.
constexpr int kMinTileTokens = 8;

Error Unsupported(const device::Device& device, const std::string& what) {
  return MakeError(ErrorCode::kUnsupported, "{} does not compute {}", device.Name(), what);
}

// The number of blocks that are sealed once the chunk is done.
int SealedBy(const kv::SequenceCache& cache) { return (cache.NumTokens() + cache.ChunkTokens()) / kTokens; }

}  // namespace

void DeviceModel::CheckShapes() const {
  if (model_.config.cache_layers.empty()) throw Unsupported(device_, "models without attention");
  if (!kv::AreAlike(model_.config.cache_layers))
    throw Unsupported(device_, "models whose layers differ in the shape of their keys and values");
}

DeviceModel::DeviceModel(device::Device& device, const model::Model& model)
    : device_(device),
      model_(model),
      pass_(device),
      tokens_(device),
      stream_(device),
      normed_(device),
      beside_(device),
      added_(device),
      logits_(device) {
  CheckShapes();
  if (!model.positions.empty()) throw Unsupported(device, "learned positions");
  embedding_ = DeviceMatrix(device, model.embedding, "embedding");
  tied_ = model.output.data == model.embedding.data;
  if (!tied_) output_ = DeviceMatrix(device, model.output, "output");
  output_norm_ = DeviceNorm(device, model.output_norm);
  output_bias_ = Upload(device, model.output_bias);
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const auto* layer = dynamic_cast<const model::ResidualLayer*>(model.layers[i].get());
    if (layer == nullptr) throw Unsupported(device, fmt::format("layer {}: it is no sum of residuals", i));
    Layer& to = layers_.emplace_back(Layer{{}, layer->StreamScale()});
    for (const model::Residual& residual : layer->Residuals())
      to.residuals.push_back(MakeResidual(residual, i));
  }
  for (size_t i = 0; i < model.ropes.size(); ++i) pass_.cos_sin.emplace_back(device);
  for (const kv::Reach& reach : model.config.cache_reaches) {
    const auto known = std::ranges::find(reaches_, reach);
    pass_.view_of.push_back(static_cast<int>(known - reaches_.begin()));
    if (known != reaches_.end()) continue;
    reaches_.push_back(reach);
    pass_.views.emplace_back(device);
  }
}

DeviceModel::Residual DeviceModel::MakeResidual(const model::Residual& residual, size_t layer) {
  if (residual.branches.size() != 1)
    throw Unsupported(device_, fmt::format("layer {}: blocks that run beside others", layer));
  const model::Branch& branch = residual.branches.front();
  const std::string where = fmt::format("layer {}", layer);
  const auto with = [&](std::variant<DeviceAttention, DeviceFeedForward, DeviceExperts> block) {
    return Residual{DeviceNorm(device_, residual.norm),
                    DeviceNorm(device_, branch.norm),
                    DeviceNorm(device_, branch.post_norm),
                    DeviceNorm(device_, residual.post_norm),
                    std::move(block),
                    residual.scale};
  };
  if (const auto* attention = dynamic_cast<const model::AttentionBlock*>(branch.block.get())) {
    const model::AttentionConfig& config = attention->Config();
    most_group_ = std::max(most_group_, config.num_heads / config.num_kv_heads);
    return with(DeviceAttention(device_, *attention, where));
  }
  if (const auto* feed_forward = dynamic_cast<const model::FeedForwardBlock*>(branch.block.get()))
    return with(DeviceFeedForward(device_, *feed_forward, where));
  if (const auto* experts = dynamic_cast<const model::ExpertsBlock*>(branch.block.get()))
    return with(DeviceExperts(device_, *experts, where));
  throw Unsupported(device_, fmt::format("layer {}: {}", layer, branch.block->Describe()));
}

size_t DeviceModel::StreamElements() const {
  return static_cast<size_t>(pass_.rows) * static_cast<size_t>(model_.config.dim);
}

// Where each token's row is written, and which blocks are completed.
void DeviceModel::PlanCache(std::span<const model::BatchItem> items) {
  const bool slides = pass_.layout->sliding_bytes > 0;
  std::vector<device::AppendToken> append;
  pass_.completed.clear();
  for (const model::BatchItem& item : items) {
    const kv::SequenceCache& cache = *item.cache;
    const int begin = cache.NumTokens();
    const int end = begin + cache.ChunkTokens();
    for (int position = begin; position < end; ++position) {
      const int block = position / kTokens;
      const int row = position % kTokens;
      const bool begun_here = block * kTokens >= begin;
      const bool clear = begun_here && position + 1 == end && row + 1 < kTokens;
      append.push_back({cache.OpenSlab(block), row, clear ? 1 : 0});
    }
    for (int block = begin / kTokens; block < end / kTokens; ++block) {
      pass_.completed.push_back({cache.OpenSlab(block), cache.SealedSlab(BlockKind::kSealed, block),
                                 slides ? cache.SealedSlab(BlockKind::kSliding, block) : nullptr});
    }
  }
  pass_.append.Fill(append);
}

// Which tokens attend in tiles, and which one by one.
void DeviceModel::PlanRuns(std::span<const model::BatchItem> items) {
  runs_.clear();
  pass_.num_tokens = pass_.num_tiles = 0;
  int most_blocks = 0;  // of tokens that attend one by one
  int row = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    const kv::SequenceCache& cache = *items[i].cache;
    const int end = cache.NumTokens() + cache.ChunkTokens();
    for (int position = cache.NumTokens(); position < end;) {
      const int in_block = std::min(end - position, kTokens - position % kTokens);
      const int count = std::min(in_block, device::kTileRows / most_group_);
      const bool is_tile = count >= kMinTileTokens;
      runs_.push_back({i, position, count, row, is_tile});
      if (is_tile) {
        ++pass_.num_tiles;
      } else {
        pass_.num_tokens += count;
        most_blocks = std::max(most_blocks, position / kTokens + 1);
      }
      position += count;
      row += count;
    }
  }
  pass_.max_splits = (most_blocks + device::kSplitPages - 1) / device::kSplitPages;
}

// What each token sees.
void DeviceModel::PlanViews(std::span<const model::BatchItem> items) {
  std::vector<const uint8_t*> tables;  // of all items, of what does not slide and then of what does
  const bool slides = pass_.layout->sliding_bytes > 0;
  for (const BlockKind kind : {BlockKind::kSealed, BlockKind::kSliding}) {
    if (kind == BlockKind::kSliding && !slides) continue;
    for (const model::BatchItem& item : items) {
      for (int block = 0; block < SealedBy(*item.cache); ++block)
        tables.push_back(item.cache->SealedSlab(kind, block));
    }
  }
  const uint8_t* const* on_device = pass_.tables.Fill(tables);
  for (size_t view = 0; view < reaches_.size(); ++view) {
    const bool of_sliding = slides && !reaches_[view].SeesAll();
    PlanView(items, reaches_[view], on_device + (of_sliding ? tables.size() / 2 : 0), pass_.views[view]);
  }
}

void DeviceModel::PlanView(std::span<const model::BatchItem> items, const kv::Reach& reach,
                           const uint8_t* const* table, Pass::View& to) {
  std::vector<device::DecodeSequence> tokens;
  std::vector<device::PrefillTile> tiles;
  std::vector<int32_t> first_visible;
  std::vector<float> thresholds;
  size_t item = 0;
  for (const Run& run : runs_) {
    for (; item < run.item; ++item) table += SealedBy(*items[item].cache);
    const int block = run.first_position / kTokens;
    const uint8_t* const open = items[item].cache->OpenSlab(block);
    for (int i = 0; i < run.count; ++i) {
      const int position = run.first_position + i;
      first_visible.push_back(reach.First(position));
      thresholds.push_back(attention::SasThreshold(position + 1 - first_visible.back()));
      if (run.is_tile) continue;
      tokens.push_back(
          {table, open, block, position % kTokens + 1, first_visible.back(), run.row + i, thresholds.back()});
    }
    if (run.is_tile) tiles.push_back({table, open, block, run.first_position % kTokens, run.count, run.row});
  }
  std::reverse(tiles.begin(), tiles.end());  // the last ones of a sequence see most: they start first
  to.tokens.Fill(tokens);
  to.tiles.Fill(tiles);
  to.first_visible.Fill(first_visible);
  to.thresholds.Fill(thresholds);
}

void DeviceModel::PlanSeals() {
  const kv::BlockLayout& layout = *pass_.layout;
  std::vector<device::SealJob> jobs;
  for (int layer = 0; layer < layout.NumLayers(); ++layer) {
    const device::Places open = OpenPlaces(layout, layer);
    const device::Places sealed = SealedPlaces(layout, layer);
    for (const Pass::Completed& block : pass_.completed) {
      uint8_t* const to = layout.Slides(layer) ? block.sliding : block.base;
      for (int head = 0; head < layout.layers.front().num_kv_heads; ++head) {
        for (const bool values : {false, true}) {
          const uint8_t* rows = block.open + (values ? open.values : open.keys) + head * open.head_stride;
          uint8_t* page = to + (values ? sealed.values : sealed.keys) + head * sealed.head_stride;
          jobs.push_back({reinterpret_cast<const uint16_t*>(rows), page, values ? 1 : 0});
        }
      }
    }
  }
  pass_.num_seals = static_cast<int>(jobs.size()) / layout.NumLayers();
  pass_.seals.Fill(jobs);
}

const double* DeviceModel::SealStart(const device::CodecKernels& codec, int head_dim) {
  if (codec.rank == 0) return nullptr;
  if (seal_rank_ != codec.rank) {
    const auto rank = static_cast<size_t>(codec.rank);
    const auto dim = static_cast<size_t>(head_dim);
    const std::vector<double> start = kv::GearStart(head_dim, codec.rank);  // [d, rank]
    std::vector<double> transposed(rank * dim);
    for (size_t i = 0; i < start.size(); ++i) transposed[i % rank * dim + i / rank] = start[i];
    seal_start_ = std::make_unique<device::DeviceArray<double>>(device_, std::span<const double>(transposed));
    seal_rank_ = codec.rank;
  }
  return seal_start_->Data();
}

void DeviceModel::WriteRopes(std::span<const model::BatchItem> items) {
  for (const auto& rope : model_.ropes) {
    std::vector<float> cos_sin(static_cast<size_t>(pass_.rows) * 2 * rope->Pairs());
    float* row = cos_sin.data();
    for (const model::BatchItem& item : items) {
      const int begin = item.cache->NumTokens();
      const int end = begin + static_cast<int>(item.tokens.size());
      for (int position = begin; position < end; ++position, row += 2 * rope->Pairs())
        rope->table.Write(position, row, row + rope->Pairs());
    }
    pass_.cos_sin[rope->index].Fill(cos_sin);
  }
}

// Plans the pass, and writes embeddings.
void DeviceModel::Begin(std::span<const model::BatchItem> items) {
  std::vector<int32_t> tokens;
  for (const model::BatchItem& item : items)
    tokens.insert(tokens.end(), item.tokens.begin(), item.tokens.end());
  pass_.rows = static_cast<int>(tokens.size());
  pass_.layout = &items.front().cache->Layout();
  pass_.codec = &KernelsOf(device_, *pass_.layout);
  pass_.attention = AttentionOf(device_, *pass_.codec, items.front().cache->Pool().Softmax());
  pass_.seal_start = SealStart(*pass_.codec, pass_.layout->layers.front().key_dim);
  PlanCache(items);
  PlanRuns(items);
  PlanViews(items);
  if (pass_.codec->seal) PlanSeals();
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

void DeviceModel::Compute(const Residual& residual) {
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

void DeviceModel::TakeStates(std::span<const model::BatchItem> items, const float* states) {
  const auto dim = static_cast<size_t>(model_.config.dim);
  size_t end = 0;
  for (const model::BatchItem& item : items) {
    end += item.tokens.size();
    if (item.num_states == 0) continue;
    const auto count = static_cast<size_t>(item.num_states);
    device_.CopyFrom(item.states, states + (end - count) * dim, count * dim * sizeof(float));
  }
}

const float* DeviceModel::Logits(std::span<const model::BatchItem> items) {
  const int dim = model_.config.dim;
  const int vocab = model_.config.vocab_size;
  const float* states = stream_.Data();
  if (output_norm_) {
    output_norm_.Apply(device_, states, pass_.rows, dim, normed_.Reserve(StreamElements()));
    states = normed_.Data();
  }
  TakeStates(items, states);
  int rows = 0;
  for (const model::BatchItem& item : items) rows += item.num_logits;
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
  for (const model::BatchItem& item : items) {
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

const float* DeviceModel::Forward(std::span<const model::BatchItem> items) {
  Begin(items);
  for (const Layer& layer : layers_) {
    for (const Residual& residual : layer.residuals) Compute(residual);
    if (layer.scale == 1.0f) continue;
    Map(device_, device::RowOp::kScale, stream_.Data(), static_cast<int64_t>(StreamElements()), nullptr, 1,
        layer.scale);
  }
  const float* logits = Logits(items);
  device_.Wait();
  return logits;
}

}  // namespace throng::gpu
