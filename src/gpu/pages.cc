#include "gpu/pages.h"

#include <string>

#include "base/check.h"
#include "base/error.h"

namespace throng::gpu {
namespace {

Error Unsupported(const device::Device& device, const char* what) {
  return MakeError(ErrorCode::kUnsupported, "KV cache: {} does not compute with {}", device.Name(), what);
}

// From head to head; keys and values of a head have the same size.
int64_t Stride(size_t first, size_t second) { return static_cast<int64_t>(second - first); }

}  // namespace

device::Places SealedPlaces(const kv::BlockLayout& layout, int layer) {
  const kv::PageSpec& first = layout.At(layer, 0);
  const bool one = layout.layers[static_cast<size_t>(layer)].num_kv_heads == 1;
  return {static_cast<int64_t>(first.keys_offset), static_cast<int64_t>(first.values_offset),
          one ? 0 : Stride(first.keys_offset, layout.At(layer, 1).keys_offset)};
}

device::Places OpenPlaces(const kv::BlockLayout& layout, int layer) {
  const kv::PageSpec& first = layout.At(layer, 0);
  const bool one = layout.layers[static_cast<size_t>(layer)].num_kv_heads == 1;
  return {static_cast<int64_t>(first.open_keys_offset), static_cast<int64_t>(first.open_values_offset),
          one ? 0 : Stride(first.open_keys_offset, layout.At(layer, 1).open_keys_offset)};
}

const device::CodecKernels& KernelsOf(const device::Device& device, const kv::BlockLayout& layout) {
  if (layout.state_bytes > 0) throw Unsupported(device, "recurrent layers");
  if (layout.fine_bytes > 0) throw Unsupported(device, "pages in a finer form (sink=, recent=)");
  if (layout.key_bias == kv::KeyBias::kMean) throw Unsupported(device, "keys without their mean (bias=mean)");
  if (!kv::AreAlike(layout.layers)) throw Unsupported(device, "layers that differ in shape");
  const std::string name = layout.At(0, 0).keys->Name();
  const int head_dim = layout.layers.front().key_dim;
  for (const kv::PageSpec& page : layout.pages) {
    if (page.keys->Name() != name || page.values->Name() != name)
      throw Unsupported(device, "codecs that differ between layers, heads, or keys and values");
  }
  for (const device::CodecKernels& codec : device::kCodecKernels) {
    if (codec.name != name || codec.head_dim != head_dim) continue;
    THRONG_CHECK(layout.At(0, 0).keys->Bytes(kv::Part::kKeys) == codec.page_bytes &&
                 layout.At(0, 0).values->Bytes(kv::Part::kValues) == codec.page_bytes);
    return codec;
  }
  throw MakeError(ErrorCode::kUnsupported,
                  "KV codec {}: {} has no kernels for it with heads of {} elements (docs/gpu.md lists those "
                  "that it has)",
                  name, device.Name(), head_dim);
}

AttentionKernels AttentionOf(const device::Device& device, const device::CodecKernels& codec,
                             kv::SoftmaxKind softmax) {
  if (softmax == kv::SoftmaxKind::kExact) return {codec.decode, codec.merge, codec.prefill};
  if (!codec.decode_sas) {
    throw MakeError(ErrorCode::kUnsupported,
                    "KV codec {}: {} computes the softmax sas with flashq4, flashq2 and int8 alone",
                    codec.name, device.Name());
  }
  return {*codec.decode_sas, *codec.merge_sas, *codec.prefill_sas};
}

}  // namespace throng::gpu
