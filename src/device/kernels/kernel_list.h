// The kernels that a device can be asked for, by name.
#pragma once

namespace throng::device {

// X(name, type): the type has Args, kThreads, kSharedBytes and Run(args), which is one thread's part.
#define THRONG_KERNELS(X)                            \
  X(SealFlashq4Dim64, SealFlashq<4, 64>)             \
  X(SealFlashq4Dim128, SealFlashq<4, 128>)           \
  X(SealFlashq2Dim64, SealFlashq<2, 64>)             \
  X(SealFlashq2Dim128, SealFlashq<2, 128>)           \
  X(DecodeFlashq4Dim64, Decode<FlashqPage<4, 64>>)   \
  X(DecodeFlashq4Dim128, Decode<FlashqPage<4, 128>>) \
  X(DecodeFlashq2Dim64, Decode<FlashqPage<2, 64>>)   \
  X(DecodeFlashq2Dim128, Decode<FlashqPage<2, 128>>) \
  X(MergeSplitsDim64, MergeSplits<64>)               \
  X(MergeSplitsDim128, MergeSplits<128>)

enum class KernelId {
#define THRONG_KERNEL_ID(name, ...) k##name,
  THRONG_KERNELS(THRONG_KERNEL_ID)
#undef THRONG_KERNEL_ID
};

}  // namespace throng::device
