// Builds for processors on which there is no emulated GPU.
#include "base/error.h"
#include "gpu/transformer.h"

namespace throng::gpu {

std::shared_ptr<Arena> OpenDevice(std::string_view name) {
  if (name == "cpu") return nullptr;
  throw MakeError(ErrorCode::kUnsupported, "device {}: this build computes on the processor alone", name);
}

std::unique_ptr<model::Transformer> LoadTransformer(std::shared_ptr<Arena>, const model::GgufFile&,
                                                    const model::LoadOptions&) {
  throw MakeError(ErrorCode::kUnsupported, "this build computes on the processor alone");
}

}  // namespace throng::gpu
