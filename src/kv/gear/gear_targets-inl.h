// Which instructions the kernels of gear.h have on the target at hand. Included once per target.
#undef THRONG_GEAR_VNNI
#undef THRONG_GEAR_AVX2
#if HWY_TARGET == HWY_AVX3_DL
#define THRONG_GEAR_VNNI 1
#else
#define THRONG_GEAR_VNNI 0
#endif
#if HWY_TARGET == HWY_AVX2
#define THRONG_GEAR_AVX2 1
#else
#define THRONG_GEAR_AVX2 0
#endif
