// The kernels that a device can be asked for, by name.
#pragma once

namespace throng::device {

// X(name, type). The type has
//   Args           what the kernel is given, in memory that the device can copy
//   kThreads       of a block
//   kBlocks        that a multiprocessor should have room for; more leave fewer registers to each thread
//   kSharedBytes
//   Run(args)      one thread's part
// In groups, because each takes nvcc a while and has a file of its own in cuda/.
#define THRONG_SEAL_KERNELS(X)                    \
  X(SealFlashq4Dim64, SealFlashq<4, 64>)          \
  X(SealFlashq4Dim128, SealFlashq<4, 128>)        \
  X(SealFlashq2Dim64, SealFlashq<2, 64>)          \
  X(SealFlashq2Dim128, SealFlashq<2, 128>)        \
  X(SealInt8Dim64, SealInt8<64>)                  \
  X(SealInt8Dim128, SealInt8<128>)                \
  X(SealKivi4Dim64, SealGear<4, 64, 0, 0, 0>)     \
  X(SealKivi4Dim128, SealGear<4, 128, 0, 0, 0>)   \
  X(SealKivi2Dim64, SealGear<2, 64, 0, 0, 0>)     \
  X(SealKivi2Dim128, SealGear<2, 128, 0, 0, 0>)   \
  X(SealGearl4Dim64, SealGear<4, 64, 4, 0, 2>)    \
  X(SealGearl4Dim128, SealGear<4, 128, 4, 0, 2>)  \
  X(SealGearl2Dim64, SealGear<2, 64, 4, 0, 2>)    \
  X(SealGearl2Dim128, SealGear<2, 128, 4, 0, 2>)  \
  X(SealGear4Dim64, SealGear<4, 64, 4, 82, 2>)    \
  X(SealGear4Dim128, SealGear<4, 128, 4, 164, 2>) \
  X(SealGear2Dim64, SealGear<2, 64, 2, 41, 2>)    \
  X(SealGear2Dim128, SealGear<2, 128, 2, 82, 2>)  \
  X(SealRot4Dim64, SealRot<4, 64, 1>)             \
  X(SealRot4Dim128, SealRot<4, 128, 1>)           \
  X(SealRot3Dim64, SealRot<3, 64, 1>)             \
  X(SealRot3Dim128, SealRot<3, 128, 1>)           \
  X(SealRot2Dim64, SealRot<2, 64, 1>)             \
  X(SealRot2Dim128, SealRot<2, 128, 1>)           \
  X(SealInt4Dim64, SealRot<4, 64, 0>)             \
  X(SealInt4Dim128, SealRot<4, 128, 0>)           \
  X(AppendDim64, Append<64>)                      \
  X(AppendDim128, Append<128>)
#define THRONG_DECODE_KERNELS(X)                           \
  X(DecodeFlashq4Dim64, Decode<FlashqPage<4, 64>, 0>)      \
  X(DecodeFlashq4Dim128, Decode<FlashqPage<4, 128>, 0>)    \
  X(DecodeFlashq2Dim64, Decode<FlashqPage<2, 64>, 0>)      \
  X(DecodeFlashq2Dim128, Decode<FlashqPage<2, 128>, 0>)    \
  X(DecodeInt8Dim64, Decode<Int8Page<64>, 0>)              \
  X(DecodeInt8Dim128, Decode<Int8Page<128>, 0>)            \
  X(DecodeFlashq4SasDim64, Decode<FlashqPage<4, 64>, 1>)   \
  X(DecodeFlashq4SasDim128, Decode<FlashqPage<4, 128>, 1>) \
  X(DecodeFlashq2SasDim64, Decode<FlashqPage<2, 64>, 1>)   \
  X(DecodeFlashq2SasDim128, Decode<FlashqPage<2, 128>, 1>) \
  X(DecodeInt8SasDim64, Decode<Int8Page<64>, 1>)           \
  X(DecodeInt8SasDim128, Decode<Int8Page<128>, 1>)         \
  X(DecodeF16Dim64, Decode<HalfPage<64>, 0>)               \
  X(DecodeF16Dim128, Decode<HalfPage<128>, 0>)             \
  X(DecodeRot4Dim64, Decode<RotPage<4, 64, 1>, 0>)         \
  X(DecodeRot4Dim128, Decode<RotPage<4, 128, 1>, 0>)       \
  X(DecodeRot3Dim64, Decode<RotPage<3, 64, 1>, 0>)         \
  X(DecodeRot3Dim128, Decode<RotPage<3, 128, 1>, 0>)       \
  X(DecodeRot2Dim64, Decode<RotPage<2, 64, 1>, 0>)         \
  X(DecodeRot2Dim128, Decode<RotPage<2, 128, 1>, 0>)       \
  X(DecodeInt4Dim64, Decode<RotPage<4, 64, 0>, 0>)         \
  X(DecodeInt4Dim128, Decode<RotPage<4, 128, 0>, 0>)       \
  X(MergeSplitsSasDim64, MergeSplits<64, 1>)               \
  X(MergeSplitsSasDim128, MergeSplits<128, 1>)             \
  X(MergeSplitsDim64, MergeSplits<64, 0>)                  \
  X(MergeSplitsDim128, MergeSplits<128, 0>)
#define THRONG_GEAR_DECODE_KERNELS(X)                       \
  X(DecodeKivi4Dim64, Decode<GearPage<4, 64, 0, 0>, 0>)     \
  X(DecodeKivi4Dim128, Decode<GearPage<4, 128, 0, 0>, 0>)   \
  X(DecodeKivi2Dim64, Decode<GearPage<2, 64, 0, 0>, 0>)     \
  X(DecodeKivi2Dim128, Decode<GearPage<2, 128, 0, 0>, 0>)   \
  X(DecodeGearl4Dim64, Decode<GearPage<4, 64, 4, 0>, 0>)    \
  X(DecodeGearl4Dim128, Decode<GearPage<4, 128, 4, 0>, 0>)  \
  X(DecodeGearl2Dim64, Decode<GearPage<2, 64, 4, 0>, 0>)    \
  X(DecodeGearl2Dim128, Decode<GearPage<2, 128, 4, 0>, 0>)  \
  X(DecodeGear4Dim64, Decode<GearPage<4, 64, 4, 82>, 0>)    \
  X(DecodeGear4Dim128, Decode<GearPage<4, 128, 4, 164>, 0>) \
  X(DecodeGear2Dim64, Decode<GearPage<2, 64, 2, 41>, 0>)    \
  X(DecodeGear2Dim128, Decode<GearPage<2, 128, 2, 82>, 0>)
#define THRONG_PREFILL_KERNELS(X)                             \
  X(PrefillFlashq4Dim64, Prefill<FlashqTiles<4, 64>, 0>)      \
  X(PrefillFlashq4SasDim64, Prefill<FlashqTiles<4, 64>, 1>)   \
  X(PrefillFlashq4Dim128, Prefill<FlashqTiles<4, 128>, 0>)    \
  X(PrefillFlashq4SasDim128, Prefill<FlashqTiles<4, 128>, 1>) \
  X(PrefillFlashq2Dim64, Prefill<FlashqTiles<2, 64>, 0>)      \
  X(PrefillFlashq2SasDim64, Prefill<FlashqTiles<2, 64>, 1>)   \
  X(PrefillFlashq2Dim128, Prefill<FlashqTiles<2, 128>, 0>)    \
  X(PrefillFlashq2SasDim128, Prefill<FlashqTiles<2, 128>, 1>) \
  X(PrefillInt8Dim64, Prefill<Int8Tiles<64>, 0>)              \
  X(PrefillInt8SasDim64, Prefill<Int8Tiles<64>, 1>)           \
  X(PrefillInt8Dim128, Prefill<Int8Tiles<128>, 0>)            \
  X(PrefillInt8SasDim128, Prefill<Int8Tiles<128>, 1>)
#define THRONG_ROT_PREFILL_KERNELS(X)                   \
  X(PrefillF16Dim64, Prefill<HalfTiles<64>, 0>)         \
  X(PrefillF16Dim128, Prefill<HalfTiles<128>, 0>)       \
  X(PrefillRot4Dim64, Prefill<RotTiles<4, 64, 1>, 0>)   \
  X(PrefillRot4Dim128, Prefill<RotTiles<4, 128, 1>, 0>) \
  X(PrefillRot3Dim64, Prefill<RotTiles<3, 64, 1>, 0>)   \
  X(PrefillRot3Dim128, Prefill<RotTiles<3, 128, 1>, 0>) \
  X(PrefillRot2Dim64, Prefill<RotTiles<2, 64, 1>, 0>)   \
  X(PrefillRot2Dim128, Prefill<RotTiles<2, 128, 1>, 0>) \
  X(PrefillInt4Dim64, Prefill<RotTiles<4, 64, 0>, 0>)   \
  X(PrefillInt4Dim128, Prefill<RotTiles<4, 128, 0>, 0>)
#define THRONG_GEAR_PREFILL_KERNELS(X)                         \
  X(PrefillKivi4Dim64, Prefill<GearTiles<4, 64, 0, 0>, 0>)     \
  X(PrefillKivi4Dim128, Prefill<GearTiles<4, 128, 0, 0>, 0>)   \
  X(PrefillKivi2Dim64, Prefill<GearTiles<2, 64, 0, 0>, 0>)     \
  X(PrefillKivi2Dim128, Prefill<GearTiles<2, 128, 0, 0>, 0>)   \
  X(PrefillGearl4Dim64, Prefill<GearTiles<4, 64, 4, 0>, 0>)    \
  X(PrefillGearl4Dim128, Prefill<GearTiles<4, 128, 4, 0>, 0>)  \
  X(PrefillGearl2Dim64, Prefill<GearTiles<2, 64, 4, 0>, 0>)    \
  X(PrefillGearl2Dim128, Prefill<GearTiles<2, 128, 4, 0>, 0>)  \
  X(PrefillGear4Dim64, Prefill<GearTiles<4, 64, 4, 82>, 0>)    \
  X(PrefillGear4Dim128, Prefill<GearTiles<4, 128, 4, 164>, 0>) \
  X(PrefillGear2Dim64, Prefill<GearTiles<2, 64, 2, 41>, 0>)    \
  X(PrefillGear2Dim128, Prefill<GearTiles<2, 128, 2, 82>, 0>)
#define THRONG_MODEL_KERNELS(X)                      \
  X(NormRows, NormRows)                              \
  X(MapRows, MapRows)                                \
  X(GatherRows, GatherRows)                          \
  X(CombineRows, CombineRows)                        \
  X(RoundRows, RoundRows)                            \
  X(MultiplyFew8Q8_0, MultiplyFew<Q8_0Blocks, 1>)    \
  X(MultiplyFew8Q4_0, MultiplyFew<Q4_0Blocks, 1>)    \
  X(MultiplyFew8MXFP4, MultiplyFew<MXFP4Blocks, 1>)  \
  X(MultiplyFew8Q4_K, MultiplyFew<Q4_KBlocks, 1>)    \
  X(MultiplyFew8Q6_K, MultiplyFew<Q6_KBlocks, 1>)    \
  X(MultiplyFew16Q8_0, MultiplyFew<Q8_0Blocks, 2>)   \
  X(MultiplyFew16Q4_0, MultiplyFew<Q4_0Blocks, 2>)   \
  X(MultiplyFew16MXFP4, MultiplyFew<MXFP4Blocks, 2>) \
  X(MultiplyFew16Q4_K, MultiplyFew<Q4_KBlocks, 2>)   \
  X(MultiplyFew16Q6_K, MultiplyFew<Q6_KBlocks, 2>)   \
  X(MultiplyManyQ8_0, MultiplyMany<Q8_0Blocks>)      \
  X(MultiplyManyQ4_0, MultiplyMany<Q4_0Blocks>)      \
  X(MultiplyManyMXFP4, MultiplyMany<MXFP4Blocks>)    \
  X(MultiplyManyQ4_K, MultiplyMany<Q4_KBlocks>)      \
  X(MultiplyManyQ6_K, MultiplyMany<Q6_KBlocks>)      \
  X(MultiplyF32, MultiplyFloats<FloatWeights>)       \
  X(MultiplyF16, MultiplyFloats<HalfWeights>)        \
  X(MultiplyBF16, MultiplyFloats<BrainWeights>)      \
  X(EmbedQ8_0, EmbedRows<Q8_0Blocks>)                \
  X(EmbedQ4_0, EmbedRows<Q4_0Blocks>)                \
  X(EmbedMXFP4, EmbedRows<MXFP4Blocks>)              \
  X(EmbedQ4_K, EmbedRows<Q4_KBlocks>)                \
  X(EmbedQ6_K, EmbedRows<Q6_KBlocks>)                \
  X(EmbedF32, EmbedRows<FloatWeights>)               \
  X(EmbedF16, EmbedRows<HalfWeights>)                \
  X(EmbedBF16, EmbedRows<BrainWeights>)              \
  X(SampleTokens, SampleTokens)
#define THRONG_KERNELS(X)        \
  THRONG_SEAL_KERNELS(X)         \
  THRONG_DECODE_KERNELS(X)       \
  THRONG_GEAR_DECODE_KERNELS(X)  \
  THRONG_PREFILL_KERNELS(X)      \
  THRONG_ROT_PREFILL_KERNELS(X)  \
  THRONG_GEAR_PREFILL_KERNELS(X) \
  THRONG_MODEL_KERNELS(X)

enum class KernelId {
#define THRONG_KERNEL_ID(name, ...) k##name,
  THRONG_KERNELS(THRONG_KERNEL_ID)
#undef THRONG_KERNEL_ID
};

#define THRONG_KERNEL_COUNT(name, ...) +1
inline constexpr int kNumKernels = 0 THRONG_KERNELS(THRONG_KERNEL_COUNT);
#undef THRONG_KERNEL_COUNT

}  // namespace throng::device
