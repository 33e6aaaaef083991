// What the tests of kernels walk over: the codecs that the device has kernels for.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "device/codec_kernels.h"
#include "device/kernels/attention_args.h"
#include "kv/codec_table.h"

namespace throng::device {

inline std::string NameOf(const testing::TestParamInfo<CodecKernels>& info) {
  return std::string(info.param.name) + "Dim" + std::to_string(info.param.head_dim);
}

inline std::vector<CodecKernels> CodecsOnDevice() {
  return {std::begin(kCodecKernels), std::end(kCodecKernels)};
}

inline std::shared_ptr<const kv::Codec> MakeCodec(const CodecKernels& codec) {
  return kv::ParseCodec(codec.name, codec.head_dim);
}

// In blocks of [heads, keys and values, page].
inline Places KeysThenValues(size_t page_bytes) {
  const auto bytes = static_cast<int64_t>(page_bytes);
  return {0, bytes, 2 * bytes};
}

inline bool IsNamed(std::string_view codec, std::string_view begin) {
  return codec.substr(0, begin.size()) == begin;
}
// Its results are those of decoded pages, closer than the processor's kernels.
inline bool IsLikeDecoded(std::string_view codec) { return IsNamed(codec, "kivi") || IsNamed(codec, "gear"); }

}  // namespace throng::device
