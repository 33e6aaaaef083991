// Formats of 1 to 4 bits without codebooks.
#include "base/check.h"
#include "model/matmul/integer_products.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "model/matmul/low_bit_products.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "model/matmul/matmul_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {

void MultiplyLowBits(const Product& product, size_t first, size_t end, const Terms& terms, size_t rows,
                     uint8_t* buffer) {
  switch (product.w.type) {
    case TensorType::kQ3_K:
      return IntProduct<TensorType::kQ3_K>(product, first, end, terms, rows, buffer);
    case TensorType::kQ2_K:
      return IntProduct<TensorType::kQ2_K>(product, first, end, terms, rows, buffer);
    case TensorType::kTQ2_0:
      return IntProduct<TensorType::kTQ2_0>(product, first, end, terms, rows, buffer);
    case TensorType::kTQ1_0:
      return IntProduct<TensorType::kTQ1_0>(product, first, end, terms, rows, buffer);
    case TensorType::kIQ4_NL:
      return IntProduct<TensorType::kIQ4_NL>(product, first, end, terms, rows, buffer);
    case TensorType::kIQ4_XS:
      return IntProduct<TensorType::kIQ4_XS>(product, first, end, terms, rows, buffer);
    case TensorType::kMXFP4:
      return IntProduct<TensorType::kMXFP4>(product, first, end, terms, rows, buffer);
    case TensorType::kNVFP4:
      return IntProduct<TensorType::kNVFP4>(product, first, end, terms, rows, buffer);
    case TensorType::kQ2_0:
      return IntProduct<TensorType::kQ2_0>(product, first, end, terms, rows, buffer);
    case TensorType::kQ1_0:
      return IntProduct<TensorType::kQ1_0>(product, first, end, terms, rows, buffer);
    default:
      THRONG_CHECK(false);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::model {

HWY_EXPORT(MultiplyLowBits);

MultiplyIntegersFn LowBitProducts() { return HWY_DYNAMIC_DISPATCH(MultiplyLowBits); }

}  // namespace throng::model
#endif  // HWY_ONCE
