#include "bench/model_speed.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "bench/timing.h"
#include "kv/testing/random_rows.h"
#include "model/config.h"
#include "model/gguf/gguf.h"

namespace throng::bench {
namespace {

constexpr int kFillTokens = 1024;

// Any token will do: what is computed does not depend on which.
int32_t TokenAt(int position, int vocab) { return static_cast<int32_t>(int64_t{position} * 7919 % vocab); }

bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

kv::BlockPool MakePool(model::Transformer& model, const kv::CodecFlags& codecs, kv::SoftmaxKind softmax,
                       size_t budget_bytes) {
  const model::ModelConfig& config = model.Config();
  kv::BlockLayout layout = kv::WithReaches(
      kv::WithStates(kv::MakeLayout(codecs, config.cache_layers), config.state_floats), config.cache_reaches);
  auto memory = model.MakeMemory(layout, softmax, budget_bytes);
  return kv::BlockPool(std::move(layout), budget_bytes, softmax, std::move(memory));
}

}  // namespace

double WeightUse::Bytes(int tokens) const {
  return shared_bytes + expert_bytes * (1.0 - std::pow(1.0 - chosen_share, tokens));
}

WeightUse ReadWeightUse(const model::GgufFile& file) {
  WeightUse use;
  const std::string prefix = fmt::format("{}.", file.String("general.architecture"));
  const auto experts = static_cast<double>(file.IntOr(prefix + "expert_count", 0));
  if (experts > 0) use.chosen_share = static_cast<double>(file.Int(prefix + "expert_used_count")) / experts;
  const bool tied = file.FindTensor("output.weight") == nullptr;
  for (const model::TensorInfo& tensor : file.Tensors()) {
    const bool is_embedding = tensor.name == "token_embd.weight";
    const auto bytes = static_cast<double>(tensor.data.size());
    const double weights = tensor.num_dims < 2 ? 0.0
                                               : static_cast<double>(tensor.dims[0]) *
                                                     static_cast<double>(tensor.dims[1] * tensor.dims[2]);
    if (tensor.name.find("_exps.") != std::string_view::npos) {
      use.expert_bytes += bytes;
      use.weights += use.chosen_share * weights;
      continue;
    }
    if (tied || !is_embedding) use.shared_bytes += bytes;
    if (!is_embedding && tensor.name != "output.weight") use.weights += weights;
  }
  return use;
}

ModelSpeed::ModelSpeed(const model::GgufFile& file, model::Transformer& model, const kv::CodecFlags& codecs,
                       kv::SoftmaxKind softmax, size_t budget_bytes, ThreadPool& threads)
    : model_(model),
      threads_(threads),
      weights_(ReadWeightUse(file)),
      pool_(MakePool(model, codecs, softmax, budget_bytes)) {}

size_t ModelSpeed::CacheBytes(int sequences, int tokens) const {
  return pool_.SequenceBytes(tokens) * static_cast<size_t>(sequences);
}

size_t ModelSpeed::DecodeBytes(int sequences, int tokens) const {
  // An open block stays until the pass that seals it has ended, and what is seen or gone on from at the start
  // all the time.
  const size_t open = tokens % kv::kPageTokens == 0 ? pool_.OpenBytes() : 0;
  const auto recent = static_cast<size_t>(pool_.Layout().window.recent_blocks);
  return (pool_.SequenceBytes(tokens) + open + recent * pool_.FineBytes() + pool_.MostSlidingBytes(tokens) +
          pool_.StateBytes()) *
         static_cast<size_t>(sequences);
}

void ModelSpeed::Fill(int sequences, int depth) {
  THRONG_CHECK(sequences > 0 && depth >= 0 && depth % kv::kPageTokens == 0);
  caches_.clear();
  starts_.clear();
  depth_ = depth;
  if (pool_.Memory().IsHost()) {
    FillFirst(caches_.emplace_back(pool_), depth);
  } else {  // blocks are the same everywhere
    kv::BlockPool pool(pool_.Layout(), std::numeric_limits<size_t>::max() / 2);
    kv::SequenceCache cache(pool);
    FillFirst(cache, depth);
    AddCopy(cache.SealedBlocks());
  }
  NoteStart();
  Grow(sequences);
}

double ModelSpeed::FillPrompt(int tokens) {
  THRONG_CHECK(tokens > 0 && tokens % kv::kPageTokens == 0);
  caches_.clear();
  starts_.clear();
  caches_.emplace_back(pool_);
  depth_ = tokens;
  const double seconds = MeasureSeconds([&] { CheckFinite(PassPrompt(tokens)); });
  NoteStart();
  return seconds;
}

// Remembers the blocks of the last cache.
void ModelSpeed::NoteStart() {
  const std::span<const kv::SealedBlock> blocks = caches_.back().SealedBlocks();
  starts_.emplace_back(blocks.begin(), blocks.end());
}

void ModelSpeed::Grow(int sequences) {
  Back();
  while (static_cast<int>(caches_.size()) < sequences) {
    AddCopy(caches_.front().SealedBlocks());
    NoteStart();
  }
}

void ModelSpeed::FillFirst(kv::SequenceCache& cache, int depth) {
  const model::ModelConfig& config = model_.Config();
  size_t stride = 0;  // keys and values are the same rows
  for (const kv::LayerShape& shape : config.cache_layers) {
    stride =
        std::max(stride, static_cast<size_t>(shape.num_kv_heads * std::max(shape.key_dim, shape.value_dim)));
  }
  const std::vector<float> rows = kv::Normal(stride * static_cast<size_t>(std::min(kFillTokens, depth)), 1);
  for (int done = 0; done < depth;) {
    const int chunk = std::min(kFillTokens, depth - done);
    if (!cache.Reserve(chunk)) throw MakeError(ErrorCode::kExhausted, "bench: the caches have no room");
    cache.BeginChunk(chunk);
    for (int layer = 0; layer < cache.Layout().NumLayers(); ++layer) {
      const kv::LayerShape& shape = config.cache_layers[static_cast<size_t>(layer)];
      threads_.ParallelFor(static_cast<size_t>(shape.num_kv_heads), [&](size_t head, int) {
        cache.Append(layer, static_cast<int>(head),
                     {rows.data() + head * static_cast<size_t>(shape.key_dim), stride},
                     {rows.data() + head * static_cast<size_t>(shape.value_dim), stride});
        cache.FinishLayer(layer, static_cast<int>(head));
      });
    }
    cache.EndChunk();
    done += chunk;
  }
}

void ModelSpeed::AddCopy(std::span<const kv::SealedBlock> of) {
  std::vector<kv::SealedBlock> blocks;
  for (const kv::SealedBlock& block : of) {
    std::optional<kv::SealedBlock> copy = kv::TryCopy(pool_, block);
    if (!copy) throw MakeError(ErrorCode::kExhausted, "bench: the caches have no room");
    blocks.push_back(*std::move(copy));
  }
  caches_.emplace_back(pool_).Adopt(blocks);
}

void ModelSpeed::Back() {
  for (size_t i = 0; i < caches_.size(); ++i) {
    caches_[i].Release();
    caches_[i].Adopt(starts_[i]);
  }
}

std::span<const float> ModelSpeed::Forward(std::span<const std::span<const int32_t>> chunks) {
  std::vector<model::BatchItem> items;
  for (const std::span<const int32_t> chunk : chunks) {
    kv::SequenceCache& cache = caches_[items.size()];
    if (!cache.Reserve(static_cast<int>(chunk.size()))) {
      throw MakeError(ErrorCode::kExhausted, "bench: the caches have no room");
    }
    items.push_back({chunk, &cache, 1});
  }
  logits_.resize(chunks.size() * static_cast<size_t>(model_.Config().vocab_size));
  model_.Forward(items, threads_, logits_.data());
  return logits_;
}

std::span<const float> ModelSpeed::Pass(int num_sequences, int tokens) {
  std::vector<int32_t> ids;
  for (int i = 0; i < tokens; ++i) {
    ids.push_back(TokenAt(caches_.front().NumTokens() + i, model_.Config().vocab_size));
  }
  return Forward(std::vector<std::span<const int32_t>>(static_cast<size_t>(num_sequences), ids));
}

std::span<const float> ModelSpeed::PassPrompt(int tokens) {
  std::span<const float> logits;
  for (int done = 0; done < tokens; done += kPrefillTokens) {
    logits = Pass(1, std::min(kPrefillTokens, tokens - done));
  }
  return logits;
}

void ModelSpeed::CheckFinite(std::span<const float> logits) const {
  if (std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); })) return;
  throw MakeError(ErrorCode::kCorrupt, "bench: a forward pass at depth {} gives logits that are not finite",
                  depth_);
}

PassSpeed ModelSpeed::Prefill(int tokens, int rounds, ReadMeter& memory) {
  THRONG_CHECK(tokens >= 2);
  const std::span<const float> whole = PassPrompt(tokens);
  CheckFinite(whole);
  const std::vector<float> expected(whole.begin(), whole.end());
  Back();
  PassPrompt(tokens - 1);
  if (!SameBits(Pass(1, 1), expected)) {
    throw MakeError(ErrorCode::kCorrupt,
                    "bench: at depth {}, the last of {} tokens has other logits when it is computed alone",
                    depth_, tokens);
  }
  PassSpeed speed = {{}, tokens, 0, LogitFlops(), {}};
  for (int done = 0; done < tokens; done += kPrefillTokens) {
    const int end = std::min(tokens, done + kPrefillTokens);
    speed.bytes += weights_.Bytes(end - done) + PageBytes(depth_ + end - 1);
  }
  for (int i = 0; i < tokens; ++i) speed.flops += Flops(depth_ + i);
  Time(
      rounds, memory, [&] { PassPrompt(tokens); }, speed);
  return speed;
}

PassSpeed ModelSpeed::Decode(int tokens, int rounds, ReadMeter& memory) {
  const int sequences = static_cast<int>(caches_.size());
  const std::span<const float> alone = Pass(1, 1);
  CheckFinite(alone);
  const std::vector<float> expected(alone.begin(), alone.end());
  Back();
  const std::span<const float> all = Pass(sequences, 1);
  for (int i = 0; i < sequences; ++i) {
    if (SameBits(all.subspan(static_cast<size_t>(i) * expected.size(), expected.size()), expected)) continue;
    throw MakeError(ErrorCode::kCorrupt,
                    "bench: at depth {}, sequence {} of {} has other logits than it has alone", depth_, i + 1,
                    sequences);
  }
  PassSpeed speed = DecodeWork(tokens);
  const auto round = [&] {
    for (int i = 0; i < tokens; ++i) Pass(sequences, 1);
  };
  Time(rounds, memory, round, speed);
  return speed;
}

Answers ModelSpeed::Answer(int tokens, int rounds) {
  const auto vocab = static_cast<size_t>(model_.Config().vocab_size);
  Answers answers = {DecodeWork(tokens), {}};
  std::vector<int32_t> last(caches_.size());
  std::vector<std::span<const int32_t>> chunks;
  for (const int32_t& token : last) chunks.emplace_back(&token, 1);
  for (int round = 0; round < rounds; ++round) {
    Back();
    answers.tokens.assign(caches_.size(), {});
    std::fill(last.begin(), last.end(), TokenAt(depth_, model_.Config().vocab_size));
    answers.speed.seconds.push_back(MeasureSeconds([&] {
      for (int i = 0; i < tokens; ++i) {
        const std::span<const float> logits = Forward(chunks);
        CheckFinite(logits);
        for (size_t s = 0; s < caches_.size(); ++s) {
          const std::span<const float> row = logits.subspan(s * vocab, vocab);
          last[s] = static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
          answers.tokens[s].push_back(last[s]);
        }
      }
    }));
  }
  Back();
  return answers;
}

void ModelSpeed::Time(int rounds, ReadMeter& memory, const std::function<void()>& round, PassSpeed& speed) {
  constexpr int kPasses = 1;  // a hundredth of a second; the rounds make a median
  double before = memory.Measure(kPasses);
  for (int i = 0; i < rounds; ++i) {
    Back();
    speed.seconds.push_back(MeasureSeconds(round));
    const double after = memory.Measure(kPasses);
    speed.read_rates.push_back((before + after) / 2);
    before = after;
  }
  Back();
}

PassSpeed ModelSpeed::DecodeWork(int tokens) const {
  const int sequences = static_cast<int>(caches_.size());
  PassSpeed speed = {{}, tokens * sequences, 0, 0, {}};
  for (int i = 0; i < tokens; ++i) {
    speed.bytes += weights_.Bytes(sequences) + sequences * PageBytes(depth_ + i);
    speed.flops += sequences * (Flops(depth_ + i) + LogitFlops());
  }
  return speed;
}

double ModelSpeed::PageBytes(int position) const {
  const kv::BlockLayout& layout = pool_.Layout();
  double bytes = 0;
  for (int layer = 0; layer < layout.NumLayers(); ++layer) {
    const int first = model_.Config().cache_reaches[static_cast<size_t>(layer)].First(position);
    const int own_block = position / kv::kPageTokens;
    for (int block = first / kv::kPageTokens; block < own_block; ++block) {
      const kv::Form form = layout.window.Seen(block, own_block);
      for (int head = 0; head < layout.layers[static_cast<size_t>(layer)].num_kv_heads; ++head) {
        const kv::PageSpec& page = layout.At(layer, head);
        for (const kv::Part part : page.Parts()) {
          const kv::Codec& codec = part == kv::Part::kKeys ? page.Keys(form) : page.Values(form);
          bytes += static_cast<double>(codec.Bytes(part));
        }
      }
    }
  }
  return bytes;
}

double ModelSpeed::Flops(int position) const {
  const model::ModelConfig& config = model_.Config();
  double flops = 2.0 * weights_.weights;
  for (size_t layer = 0; layer < config.cache_layers.size(); ++layer) {
    const kv::LayerShape& shape = config.cache_layers[layer];
    const int keys = position + 1 - config.cache_reaches[layer].First(position);
    flops += 2.0 * config.num_heads * (shape.key_dim + shape.value_dim) * keys;
  }
  return flops;
}

double ModelSpeed::LogitFlops() const { return 2.0 * model_.Config().dim * model_.Config().vocab_size; }

}  // namespace throng::bench
