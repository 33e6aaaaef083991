#include "gpu/transformer.h"

#include <algorithm>
#include <charconv>
#include <mutex>
#include <new>
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
  DeviceTransformer(std::shared_ptr<device::Device> device, const model::GgufFile& file,
                    const model::LoadOptions& options)
      : device_(std::move(device)),
        graphs_(*device_),
        file_(file),
        host_(model::BuildModel(file, options.context)),
        keys_(*host_),
        model_(Copy()) {}

  const model::ModelConfig& Config() const override { return host_->config; }
  Digest WeightsDigest() const override {
    std::call_once(digest_once_,
                   [&] { digest_ = Hasher().Add(model::DigestOfModel(file_, *host_)).Add(false).Finish(); });
    return digest_;
  }
  std::string Device() const override { return device_->Kind(); }

  std::unique_ptr<kv::BlockMemory> MakeMemory(const kv::BlockLayout& layout, kv::SoftmaxKind softmax,
                                              size_t budget_bytes) override {
    if (layout.key_bias == kv::KeyBias::kModel && keys_.OfModel() != nullptr) {
      throw MakeError(ErrorCode::kUnsupported,
                      "KV cache: {} does not add the bias that this model's keys are stored without "
                      "(--kv CODEC:bias=off stores it)",
                      device_->Name());
    }
    AttentionOf(*device_, KernelsOf(*device_, layout), softmax);
    return std::make_unique<DeviceMemory>(device_, layout, budget_bytes);
  }
  uint64_t FreeBytes() const override { return device_->FreeBytes(); }
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
      throw MakeError(ErrorCode::kExhausted, "{} has no memory for the weights of {}", device_->Name(),
                      HumanBytes(static_cast<double>(host_->bytes)));
    }
  }

  const float* ForwardOnDevice(std::span<const model::BatchItem> items) {
    try {
      return model_.Forward(items);
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
        device_->CopyFrom(logits + begin * vocab, on_device + begin * vocab,
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
                      device_->Name());
    }
    for (const int32_t token : item.tokens) {
      if (token < 0 || token >= host_->config.vocab_size) {
        throw MakeError(ErrorCode::kInvalid, "token {} is not one of the model's 0 to {}", token,
                        host_->config.vocab_size - 1);
      }
    }
  }

  const std::shared_ptr<device::Device> device_;
  GraphDevice graphs_;  // what the model computes on
  const model::GgufFile& file_;
  const std::unique_ptr<model::Model> host_;
  const model::ModelKeys keys_;
  DeviceModel model_;
  DeviceSampler sampler_{*device_};
  mutable std::once_flag digest_once_;
  mutable Digest digest_;  // once digest_once_ is set
};

}  // namespace

std::shared_ptr<device::Device> OpenDevice(std::string_view name) {
  if (name == "cpu") return nullptr;
  if (name == "emulation") return device::MakeEmulatedDevice({});
  constexpr std::string_view kCuda = "cuda", kNumbered = "cuda:";
  int index = 0;
  bool known = name == kCuda;
  if (name.starts_with(kNumbered)) {
    const char* const end = name.data() + name.size();
    const auto [last, error] = std::from_chars(name.data() + kNumbered.size(), end, index);
    known = error == std::errc() && last == end && index >= 0;
  }
  if (!known) throw MakeError(ErrorCode::kInvalid, "device {}: cpu, cuda and cuda:N are allowed", name);
  return device::MakeCudaDevice(index);
}

std::unique_ptr<model::Transformer> LoadTransformer(std::shared_ptr<device::Device> device,
                                                    const model::GgufFile& file,
                                                    const model::LoadOptions& options) {
  return std::make_unique<DeviceTransformer>(std::move(device), file, options);
}

}  // namespace throng::gpu
