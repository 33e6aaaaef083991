// Models on devices as model/transformer.h has them: the engine cannot tell them from those on this
// processor.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "model/transformer.h"

namespace throng::device {
class Device;
}

namespace throng::gpu {

// "cpu": none, so null. "cuda", "cuda:N": a GPU. "emulation": a GPU in emulation, for tests. Throws kInvalid
// for other names, kUnsupported if this build or the machine has no such device.
std::shared_ptr<device::Device> OpenDevice(std::string_view name);

// Copies the weights. Throws kExhausted if the device has no memory for them, kUnsupported with one sentence
// for what it does not compute, and what model::LoadTransformer throws. The file must outlive it.
std::unique_ptr<model::Transformer> LoadTransformer(std::shared_ptr<device::Device> device,
                                                    const model::GgufFile& file,
                                                    const model::LoadOptions& options = {});

}  // namespace throng::gpu
