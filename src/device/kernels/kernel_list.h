// The kernels that a device can be asked for, by name.
#pragma once

namespace throng::device {

// X(name, type). The type has
//   Args           what the kernel is given, in memory that the device can copy
//   kThreads       of a block
//   kBlocks        that a multiprocessor should have room for; more leave fewer registers to each thread
//   kSharedBytes
//   Run(args)      one thread's part
#define THRONG_KERNELS(X)                                \
  X(SealFlashq4Dim64, SealFlashq<4, 64>)                 \
  X(SealFlashq4Dim128, SealFlashq<4, 128>)               \
  X(SealFlashq2Dim64, SealFlashq<2, 64>)                 \
  X(SealFlashq2Dim128, SealFlashq<2, 128>)               \
  X(SealInt8Dim64, SealInt8<64>)                         \
  X(SealInt8Dim128, SealInt8<128>)                       \
  X(DecodeFlashq4Dim64, Decode<FlashqPage<4, 64>>)       \
  X(DecodeFlashq4Dim128, Decode<FlashqPage<4, 128>>)     \
  X(DecodeFlashq2Dim64, Decode<FlashqPage<2, 64>>)       \
  X(DecodeFlashq2Dim128, Decode<FlashqPage<2, 128>>)     \
  X(DecodeInt8Dim64, Decode<Int8Page<64>>)               \
  X(DecodeInt8Dim128, Decode<Int8Page<128>>)             \
  X(DecodeF16Dim64, Decode<HalfPage<64>>)                \
  X(DecodeF16Dim128, Decode<HalfPage<128>>)              \
  X(DecodeKivi4Dim64, Decode<GearPage<4, 64, 0, 0>>)     \
  X(DecodeKivi4Dim128, Decode<GearPage<4, 128, 0, 0>>)   \
  X(DecodeKivi2Dim64, Decode<GearPage<2, 64, 0, 0>>)     \
  X(DecodeKivi2Dim128, Decode<GearPage<2, 128, 0, 0>>)   \
  X(DecodeGearl4Dim64, Decode<GearPage<4, 64, 4, 0>>)    \
  X(DecodeGearl4Dim128, Decode<GearPage<4, 128, 4, 0>>)  \
  X(DecodeGearl2Dim64, Decode<GearPage<2, 64, 4, 0>>)    \
  X(DecodeGearl2Dim128, Decode<GearPage<2, 128, 4, 0>>)  \
  X(DecodeGear4Dim64, Decode<GearPage<4, 64, 4, 82>>)    \
  X(DecodeGear4Dim128, Decode<GearPage<4, 128, 4, 164>>) \
  X(DecodeGear2Dim64, Decode<GearPage<2, 64, 2, 41>>)    \
  X(DecodeGear2Dim128, Decode<GearPage<2, 128, 2, 82>>)  \
  X(MergeSplitsDim64, MergeSplits<64>)                   \
  X(MergeSplitsDim128, MergeSplits<128>)

enum class KernelId {
#define THRONG_KERNEL_ID(name, ...) k##name,
  THRONG_KERNELS(THRONG_KERNEL_ID)
#undef THRONG_KERNEL_ID
};

#define THRONG_KERNEL_COUNT(name, ...) +1
inline constexpr int kNumKernels = 0 THRONG_KERNELS(THRONG_KERNEL_COUNT);
#undef THRONG_KERNEL_COUNT

}  // namespace throng::device
