#include "bench/model_speed.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <memory>
#include <optional>

#include "base/check.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "bench/timing.h"
#include "kv/testing/random_rows.h"
#include "model/config.h"
#include "model/gguf/gguf_writer.h"
#include "model/testing/test_matrices.h"
#include "model/weights.h"

namespace throng::bench {
namespace {

constexpr int kFillTokens = 1024;
constexpr size_t kRandomBytes = size_t{1} << 20;  // repeated in larger tensors

struct Shape {
  const char* name;
  uint32_t layers, dim, heads, kv_heads, head_dim, ffn, vocab, context;
  bool tied;  // the embedding is the output matrix too
};

constexpr Shape kShapes[] = {
    {"llama-1b", 16, 2048, 32, 8, 64, 8192, 128256, 131072, true},
    {"llama-8b", 32, 4096, 32, 8, 128, 14336, 128256, 131072, false},
    {"llama2-7b", 32, 4096, 32, 32, 128, 11008, 32000, 4096, false},
    {"smollm2-360m", 32, 960, 15, 5, 64, 2560, 49152, 8192, true},
    {"tiny", 2, 256, 4, 2, 64, 512, 512, 131072, true},
};

const Shape& FindShape(const std::string& name) {
  for (const Shape& shape : kShapes) {
    if (name == shape.name) return shape;
  }
  throw MakeError(ErrorCode::kInvalid, "bench: there is no shape '{}'; there are {}", name,
                  fmt::join(ShapeNames(), ", "));
}

// Adds tensors of random blocks: about as large as keeps the values of a forward pass near 1.
class TensorMaker {
 public:
  TensorMaker(model::GgufWriter& writer, model::TensorType type) : writer_(writer), type_(type) {}

  void Matrix(const std::string& name, uint32_t cols, uint32_t rows) {
    const model::BlockSize block = *model::BlockSizeOf(type_);
    if (cols % block.elements != 0) {
      throw MakeError(ErrorCode::kInvalid,
                      "bench: rows of {} weights are no whole blocks of {}, which have {}", cols,
                      model::TensorTypeName(type_), block.elements);
    }
    const size_t elements = size_t{cols} * rows;
    const size_t some = std::min(elements, kRandomBytes / block.bytes * block.elements);
    std::vector<uint8_t> data =
        model::RandomBlocks(type_, some, std::sqrt(3.0f / static_cast<float>(cols)), ++seed_);
    const size_t period = data.size();
    data.resize(elements / block.elements * block.bytes);
    for (size_t at = period; at < data.size(); at += period) {
      std::memcpy(data.data() + at, data.data(), std::min(period, data.size() - at));
    }
    writer_.AddTensor(name, type_, std::vector<uint64_t>{cols, rows}, data);
  }

  void Ones(const std::string& name, uint32_t size) {
    const std::vector<float> ones(size, 1.0f);
    writer_.AddTensor(name, model::TensorType::kF32, std::vector<uint64_t>{size},
                      {reinterpret_cast<const uint8_t*>(ones.data()), size * sizeof(float)});
  }

 private:
  model::GgufWriter& writer_;
  const model::TensorType type_;
  uint64_t seed_ = 0;
};

// Any token will do: what is computed does not depend on which.
int32_t TokenAt(int position, int vocab) { return static_cast<int32_t>(int64_t{position} * 7919 % vocab); }

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

}  // namespace

std::vector<std::string> ShapeNames() {
  std::vector<std::string> names;
  for (const Shape& shape : kShapes) names.emplace_back(shape.name);
  return names;
}

model::TensorType ParseWeights(const std::string& name) {
  std::string known;
  for (const model::TensorType type : model::kAllTensorTypes) {
    const std::string candidate = Lower(model::TensorTypeName(type));
    if (candidate == Lower(name)) return type;
    known += " " + candidate;
  }
  throw MakeError(ErrorCode::kInvalid, "bench: --weights {} is unknown; these are known:{}", name, known);
}

std::vector<uint8_t> RandomModel(const std::string& shape_name, model::TensorType type,
                                 const model::GgufFile* vocabulary) {
  Shape shape = FindShape(shape_name);
  if (vocabulary != nullptr) {
    shape.vocab = static_cast<uint32_t>(vocabulary->Strings("tokenizer.ggml.tokens").size());
  }
  model::GgufWriter writer;
  writer.Add("general.architecture", "llama");
  writer.Add("general.name", fmt::format("{} with random weights", shape.name));
  writer.Add("llama.context_length", shape.context);
  writer.Add("llama.embedding_length", shape.dim);
  writer.Add("llama.block_count", shape.layers);
  writer.Add("llama.feed_forward_length", shape.ffn);
  writer.Add("llama.attention.head_count", shape.heads);
  writer.Add("llama.attention.head_count_kv", shape.kv_heads);
  writer.Add("llama.attention.key_length", shape.head_dim);
  writer.Add("llama.attention.value_length", shape.head_dim);
  writer.Add("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  writer.Add("llama.rope.freq_base", 500000.0f);
  // For programs that ask for them.
  writer.Add("llama.vocab_size", shape.vocab);
  writer.Add("llama.rope.dimension_count", shape.head_dim);
  if (vocabulary == nullptr) {
    writer.Add("tokenizer.ggml.model", "none");
  } else {
    for (const std::string_view key : vocabulary->Keys()) {
      if (key.starts_with("tokenizer.")) writer.Copy(key, *vocabulary);
    }
  }
  TensorMaker add(writer, type);
  add.Matrix("token_embd.weight", shape.dim, shape.vocab);
  if (!shape.tied) add.Matrix("output.weight", shape.dim, shape.vocab);
  add.Ones("output_norm.weight", shape.dim);
  const uint32_t query_dim = shape.heads * shape.head_dim, kv_dim = shape.kv_heads * shape.head_dim;
  for (uint32_t i = 0; i < shape.layers; ++i) {
    const std::string prefix = fmt::format("blk.{}.", i);
    add.Ones(prefix + "attn_norm.weight", shape.dim);
    add.Matrix(prefix + "attn_q.weight", shape.dim, query_dim);
    add.Matrix(prefix + "attn_k.weight", shape.dim, kv_dim);
    add.Matrix(prefix + "attn_v.weight", shape.dim, kv_dim);
    add.Matrix(prefix + "attn_output.weight", query_dim, shape.dim);
    add.Ones(prefix + "ffn_norm.weight", shape.dim);
    add.Matrix(prefix + "ffn_gate.weight", shape.dim, shape.ffn);
    add.Matrix(prefix + "ffn_up.weight", shape.dim, shape.ffn);
    add.Matrix(prefix + "ffn_down.weight", shape.ffn, shape.dim);
  }
  return writer.Finish();
}

ModelSpeed::ModelSpeed(const model::GgufFile& file, model::Transformer& model, const kv::CodecFlags& codecs,
                       kv::SoftmaxKind softmax, size_t budget_bytes, ThreadPool& threads)
    : model_(model),
      threads_(threads),
      weight_bytes_(model::WeightBytes(file)),
      pool_(kv::WithStates(kv::MakeLayout(codecs, model.Config().num_layers, model.Config().num_kv_heads,
                                          model.Config().head_dim),
                           model.Config().state_floats),
            budget_bytes, softmax) {}

size_t ModelSpeed::CacheBytes(int sequences, int tokens) const {
  return pool_.SequenceBytes(tokens) * static_cast<size_t>(sequences);
}

size_t ModelSpeed::DecodeBytes(int sequences, int tokens) const {
  // An open block stays until the pass that seals it has ended, and what is seen or gone on from at the start
  // all the time.
  const size_t open = tokens % kv::kPageTokens == 0 ? pool_.OpenBytes() : 0;
  const auto recent = static_cast<size_t>(pool_.Layout().window.recent_blocks);
  return (pool_.SequenceBytes(tokens) + open + recent * pool_.FineBytes() + pool_.StateBytes()) *
         static_cast<size_t>(sequences);
}

void ModelSpeed::Fill(int sequences, int depth) {
  THRONG_CHECK(sequences > 0 && depth >= 0 && depth % kv::kPageTokens == 0);
  caches_.clear();
  starts_.clear();
  depth_ = depth;
  FillFirst(depth);
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
  while (static_cast<int>(caches_.size()) < sequences) CopyFirst();
}

void ModelSpeed::FillFirst(int depth) {
  const model::ModelConfig& config = model_.Config();
  kv::SequenceCache& cache = caches_.emplace_back(pool_);
  const auto stride = static_cast<size_t>(config.KvDim());
  const std::vector<float> rows = kv::Normal(stride * static_cast<size_t>(std::min(kFillTokens, depth)), 1);
  for (int done = 0; done < depth;) {
    const int chunk = std::min(kFillTokens, depth - done);
    if (!cache.Reserve(chunk)) throw MakeError(ErrorCode::kExhausted, "bench: the caches have no room");
    cache.BeginChunk(chunk);
    for (int layer = 0; layer < config.num_layers; ++layer) {
      threads_.ParallelFor(static_cast<size_t>(config.num_kv_heads), [&](size_t head, int) {
        const float* keys = rows.data() + head * static_cast<size_t>(config.head_dim);
        cache.Append(layer, static_cast<int>(head), keys, keys, stride);
        cache.FinishLayer(layer, static_cast<int>(head));
      });
    }
    cache.EndChunk();
    done += chunk;
  }
}

void ModelSpeed::CopyFirst() {
  std::vector<kv::SealedBlock> blocks;
  for (const kv::SealedBlock& block : caches_.front().SealedBlocks()) {
    std::optional<kv::SealedBlock> copy = kv::TryCopy(pool_, block);
    if (!copy) throw MakeError(ErrorCode::kExhausted, "bench: the caches have no room");
    blocks.push_back(*std::move(copy));
  }
  caches_.emplace_back(pool_).Adopt(blocks);
  NoteStart();
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
    speed.bytes +=
        static_cast<double>(weight_bytes_) + PageBytes(depth_ + std::min(tokens, done + kPrefillTokens) - 1);
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
    speed.bytes += static_cast<double>(weight_bytes_) + sequences * PageBytes(depth_ + i);
    speed.flops += sequences * (Flops(depth_ + i) + LogitFlops());
  }
  return speed;
}

double ModelSpeed::PageBytes(int position) const {
  const model::ModelConfig& config = model_.Config();
  const kv::BlockLayout& layout = pool_.Layout();
  double bytes = 0;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    const int first = config.IsWindowed(layer) ? std::max(0, position + 1 - config.window) : 0;
    const int own_block = position / kv::kPageTokens;
    for (int block = first / kv::kPageTokens; block < own_block; ++block) {
      const kv::Form form = layout.window.Seen(block, own_block);
      for (int head = 0; head < config.num_kv_heads; ++head) {
        const kv::PageSpec& page = layout.At(layer, head);
        bytes += static_cast<double>(page.Keys(form).Bytes(kv::Part::kKeys) +
                                     page.Values(form).Bytes(kv::Part::kValues));
      }
    }
  }
  return bytes;
}

double ModelSpeed::Flops(int position) const {
  const model::ModelConfig& c = model_.Config();
  const double weights =
      static_cast<double>(c.dim) * (2.0 * c.QueryDim() + 2.0 * c.KvDim() + 3.0 * c.ffn_dim);
  double flops = 0;
  for (int layer = 0; layer < c.num_layers; ++layer) {
    const int keys = c.IsWindowed(layer) ? std::min(position + 1, c.window) : position + 1;
    flops += 2.0 * weights + 4.0 * c.QueryDim() * keys;
  }
  return flops;
}

double ModelSpeed::LogitFlops() const { return 2.0 * model_.Config().dim * model_.Config().vocab_size; }

}  // namespace throng::bench
