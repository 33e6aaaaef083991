// The pages of a KV cache (kv/cache/sequence_cache.h) as kernels find them: the layout of blocks is the
// processor's.
#pragma once

#include <cstdint>

#include "device/codec_kernels.h"
#include "device/device.h"
#include "device/kernels/attention_args.h"
#include "kv/block_layout.h"
#include "kv/softmax_kind.h"

namespace throng::gpu {

device::Places SealedPlaces(const kv::BlockLayout& layout, int layer);
device::Places OpenPlaces(const kv::BlockLayout& layout, int layer);

// What computes attention with one kind of softmax.
struct AttentionKernels {
  device::KernelId decode, merge, prefill;
};

// The kernels for all pages of a layout. Throws kUnsupported, with one sentence, if the device has none.
const device::CodecKernels& KernelsOf(const device::Device& device, const kv::BlockLayout& layout);
// And of a softmax; throws likewise.
AttentionKernels AttentionOf(const device::Device& device, const device::CodecKernels& codec,
                             kv::SoftmaxKind softmax);

}  // namespace throng::gpu
