#include "gpu/transformer.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <iterator>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/text/human_bytes.h"
#include "device/cuda/cuda_device.h"
#include "device/emulation/emulated_device.h"
#include "gpu/device_memory.h"
#include "gpu/forward.h"
#include "gpu/graph_device.h"
#include "gpu/pages.h"
#include "gpu/sampling.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "model/key_bias.h"
#include "model/model.h"

namespace throng::gpu {
namespace {

class DeviceTransformer final : public model::Transformer {
 public:
  DeviceTransformer(std::shared_ptr<Arena> arena, const model::GgufFile& file,
                    const model::LoadOptions& options)
      : arena_(std::move(arena)),
        graphs_(*arena_),
        file_(file),
        host_(model::BuildModel(file, options.context)),
        keys_(*host_),
        model_(Copy()) {
    arena_->CountAs(MemoryUse::kPasses);
  }

  const model::ModelConfig& Config() const override { return host_->config; }
  Digest WeightsDigest() const override {
    std::call_once(digest_once_,
                   [&] { digest_ = Hasher().Add(model::DigestOfModel(file_, *host_)).Add(false).Finish(); });
    return digest_;
  }
  std::string Device() const override { return arena_->Kind(); }

  std::unique_ptr<kv::BlockMemory> MakeMemory(const kv::BlockLayout& layout, kv::SoftmaxKind softmax,
                                              size_t budget_bytes) override {
    if (layout.key_bias == kv::KeyBias::kModel && keys_.OfModel() != nullptr) {
      throw MakeError(ErrorCode::kUnsupported,
                      "KV cache: {} does not add the bias that this model's keys are stored without "
                      "(--kv CODEC:bias=off stores it)",
                      arena_->Name());
    }
    AttentionOf(*arena_, KernelsOf(*arena_, layout), softmax);
    return std::make_unique<DeviceMemory>(arena_, layout, budget_bytes);
  }
  uint64_t FreeBytes() const override { return arena_->FreeBytes(); }
  bool Draws() const override { return true; }

  void Forward(std::span<const model::BatchItem> items, ThreadPool& /*pool*/, float* logits) override {
    if (items.empty()) return;
    for (const model::BatchItem& item : items) Check(item);
    for (const model::BatchItem& item : items) item.cache->BeginChunk(static_cast<int>(item.tokens.size()));
    const float* const on_device = ForwardOnDevice(items);
    Draw(items, on_device);
    TakeLogits(items, on_device, logits);
    for (const model::BatchItem& item : items) item.cache->EndChunk();
  }

 private:
  DeviceModel Copy() {
    try {
      return DeviceModel(graphs_, *host_);
    } catch (const std::bad_alloc&) {
      throw MakeError(ErrorCode::kExhausted, "{} has no memory for the weights of {}: {}", arena_->Name(),
                      HumanBytes(static_cast<double>(host_->bytes)), arena_->Ledger());
    }
  }

  const float* ForwardOnDevice(std::span<const model::BatchItem> items) {
    try {
      return model_.Forward(items);
    } catch (const std::bad_alloc&) {
      graphs_.Discard();
      throw MakeError(ErrorCode::kExhausted, "request: {} has no memory for a step of {} sequences: {}",
                      arena_->Name(), items.size(), arena_->Ledger());
    } catch (...) {
      graphs_.Discard();
      throw;
    }
  }

  // on_device: logits of all items, as Forward has them.
  void Draw(std::span<const model::BatchItem> items, const float* on_device) {
    std::vector<DrawRequest> requests;
    int row = 0;
    for (const model::BatchItem& item : items) {
      for (size_t i = 0; i < item.draws.size(); ++i)
        requests.push_back({row + static_cast<int>(i), item.draws[i]});
      row += item.num_logits;
    }
    const std::vector<int32_t> tokens = sampler_.Draw(on_device, host_->config.vocab_size, requests);
    auto next = tokens.begin();
    for (const model::BatchItem& item : items) {
      std::copy_n(next, item.draws.size(), item.drawn);
      next += static_cast<ptrdiff_t>(item.draws.size());
    }
  }
  // Copies the rows of items without draws; those that follow each other at once.
  void TakeLogits(std::span<const model::BatchItem> items, const float* on_device, float* logits) {
    const auto vocab = static_cast<size_t>(host_->config.vocab_size);
    size_t begin = 0;
    size_t end = 0;
    const auto copy = [&] {
      if (end > begin)
        arena_->CopyFrom(logits + begin * vocab, on_device + begin * vocab,
                         (end - begin) * vocab * sizeof(float));
    };
    for (const model::BatchItem& item : items) {
      const auto rows = static_cast<size_t>(item.num_logits);
      if (item.draws.empty()) {
        end += rows;
        continue;
      }
      copy();
      begin = end = end + rows;
    }
    copy();
  }

  void Check(const model::BatchItem& item) const {
    THRONG_CHECK(!item.tokens.empty() && item.num_logits >= 0 && item.num_states >= 0 &&
                 (item.num_logits == 0 || item.num_states == 0) &&
                 static_cast<size_t>(item.num_logits + item.num_states) <= item.tokens.size() &&
                 (item.draws.empty() || item.draws.size() == static_cast<size_t>(item.num_logits)));
    if (item.cache->Pool().Memory().IsHost()) {
      throw MakeError(ErrorCode::kUnsupported,
                      "{} computes with caches in its own memory alone: codecs that are chosen by what a "
                      "model computes (auto, flashq-mixed, bias=mean) need --device cpu",
                      arena_->Name());
    }
    for (const int32_t token : item.tokens) {
      if (token < 0 || token >= host_->config.vocab_size) {
        throw MakeError(ErrorCode::kInvalid, "token {} is not one of the model's 0 to {}", token,
                        host_->config.vocab_size - 1);
      }
    }
  }

  const std::shared_ptr<Arena> arena_;
  GraphDevice graphs_;  // what the model computes on
  const model::GgufFile& file_;
  const std::unique_ptr<model::Model> host_;
  const model::ModelKeys keys_;
  DeviceModel model_;
  DeviceSampler sampler_{*arena_};
  mutable std::once_flag digest_once_;
  mutable Digest digest_;  // once digest_once_ is set
};

constexpr size_t kEmulatedBytes = size_t{128} << 20;

struct CudaName {
  int index = 0;
  size_t bytes = 0;  // 0: not said
};

// cuda, cuda:N, cuda:N:SIZE; nothing for others.
std::optional<CudaName> ParseCuda(std::string_view name) {
  constexpr std::string_view kCuda = "cuda";
  CudaName cuda;
  if (name == kCuda) return cuda;
  if (!name.starts_with("cuda:")) return std::nullopt;
  const char* const end = name.data() + name.size();
  const auto [after_index, index_error] = std::from_chars(name.data() + kCuda.size() + 1, end, cuda.index);
  if (index_error != std::errc() || cuda.index < 0) return std::nullopt;
  if (after_index == end) return cuda;
  if (*after_index != ':') return std::nullopt;
  const auto [after_bytes, bytes_error] = std::from_chars(after_index + 1, end, cuda.bytes);
  if (bytes_error != std::errc() || cuda.bytes == 0) return std::nullopt;
  const std::string_view unit(after_bytes, static_cast<size_t>(end - after_bytes));
  constexpr std::string_view kUnits[] = {"", "KB", "MB", "GB"};
  const auto* const found = std::ranges::find(kUnits, unit);
  if (found == std::end(kUnits)) return std::nullopt;
  const auto shift = 10 * (found - std::begin(kUnits));
  if (cuda.bytes > SIZE_MAX >> shift) return std::nullopt;
  cuda.bytes <<= shift;
  return cuda;
}

}  // namespace

std::shared_ptr<Arena> OpenDevice(std::string_view name) {
  if (name == "cpu") return nullptr;
  if (name == "emulation") return std::make_shared<Arena>(device::MakeEmulatedDevice({}), kEmulatedBytes);
  const std::optional<CudaName> cuda = ParseCuda(name);
  if (!cuda) {
    throw MakeError(ErrorCode::kInvalid,
                    "device {}: cpu, cuda, cuda:N and cuda:N:SIZE, such as cuda:0:40GB, are allowed", name);
  }
  return std::make_shared<Arena>(device::MakeCudaDevice(cuda->index), cuda->bytes);
}

std::unique_ptr<model::Transformer> LoadTransformer(std::shared_ptr<Arena> arena, const model::GgufFile& file,
                                                    const model::LoadOptions& options) {
  return std::make_unique<DeviceTransformer>(std::move(arena), file, options);
}

}  // namespace throng::gpu
