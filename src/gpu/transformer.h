// Models on devices as model/transformer.h has them: the engine cannot tell them from those on this
// processor.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "model/transformer.h"

namespace throng::gpu {

class Arena;

// "cpu": none, so null. "cuda", "cuda:N": a GPU, most of whose free memory is taken at once. "cuda:N:SIZE":
// so much of it, in bytes, or with KB, MB or GB, of 1024 each. "emulation": a GPU in emulation, for tests.
// Throws kInvalid for other names, kUnsupported if this build or the machine has no such device, kExhausted
// if it has no such memory.
std::shared_ptr<Arena> OpenDevice(std::string_view name);

// Copies the weights. Throws kExhausted if the arena has no memory for them, kUnsupported with one sentence
// for what the device does not compute, and what model::LoadTransformer throws. The file must outlive it.
std::unique_ptr<model::Transformer> LoadTransformer(std::shared_ptr<Arena> arena, const model::GgufFile& file,
                                                    const model::LoadOptions& options = {});

}  // namespace throng::gpu
