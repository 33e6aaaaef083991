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
#include "gpu/pages.h"
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
    if (softmax != kv::SoftmaxKind::kExact) {
      throw MakeError(ErrorCode::kUnsupported, "{} computes the exact softmax alone, not sas",
                      device_->Name());
    }
    if (layout.key_bias == kv::KeyBias::kModel && keys_.OfModel() != nullptr) {
      throw MakeError(ErrorCode::kUnsupported,
                      "KV cache: {} does not add the bias that this model's keys are stored without "
                      "(--kv CODEC:bias=off stores it)",
                      device_->Name());
    }
    KernelsOf(*device_, layout);
    return std::make_unique<DeviceMemory>(device_, layout, budget_bytes);
  }
  uint64_t FreeBytes() const override { return device_->FreeBytes(); }

  void Forward(std::span<const model::BatchItem> items, ThreadPool& /*pool*/, float* logits) override {
    if (items.empty()) return;
    size_t rows = 0;
    for (const model::BatchItem& item : items) {
      Check(item);
      rows += static_cast<size_t>(item.num_logits);
    }
    for (const model::BatchItem& item : items) item.cache->BeginChunk(static_cast<int>(item.tokens.size()));
    const float* on_device = model_.Forward(items);
    if (rows > 0) {
      device_->CopyFrom(logits, on_device,
                        rows * static_cast<size_t>(host_->config.vocab_size) * sizeof(float));
    }
    for (const model::BatchItem& item : items) item.cache->EndChunk();
  }

 private:
  DeviceModel Copy() const {
    try {
      return DeviceModel(*device_, *host_);
    } catch (const std::bad_alloc&) {
      throw MakeError(ErrorCode::kExhausted, "{} has no memory for the weights of {}", device_->Name(),
                      HumanBytes(static_cast<double>(host_->bytes)));
    }
  }

  void Check(const model::BatchItem& item) const {
    THRONG_CHECK(!item.tokens.empty() && item.num_logits >= 0 && item.num_states >= 0 &&
                 (item.num_logits == 0 || item.num_states == 0) &&
                 static_cast<size_t>(item.num_logits + item.num_states) <= item.tokens.size());
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
  const model::GgufFile& file_;
  const std::unique_ptr<model::Model> host_;
  const model::ModelKeys keys_;
  DeviceModel model_;
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
