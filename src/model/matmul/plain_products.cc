// Formats of 4 to 8 bits.
#include "base/check.h"
#include "model/matmul/integer_products.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "model/matmul/plain_products.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "model/matmul/matmul_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {

void MultiplyPlain(const Product& product, size_t first, size_t end, const Terms& terms, size_t rows,
                   uint8_t* buffer) {
  switch (product.w.type) {
    case TensorType::kQ8_0:
      return IntProduct<TensorType::kQ8_0>(product, first, end, terms, rows, buffer);
    case TensorType::kQ5_1:
      return IntProduct<TensorType::kQ5_1>(product, first, end, terms, rows, buffer);
    case TensorType::kQ5_0:
      return IntProduct<TensorType::kQ5_0>(product, first, end, terms, rows, buffer);
    case TensorType::kQ4_1:
      return IntProduct<TensorType::kQ4_1>(product, first, end, terms, rows, buffer);
    case TensorType::kQ4_0:
      return IntProduct<TensorType::kQ4_0>(product, first, end, terms, rows, buffer);
    case TensorType::kQ6_K:
      return IntProduct<TensorType::kQ6_K>(product, first, end, terms, rows, buffer);
    case TensorType::kQ5_K:
      return IntProduct<TensorType::kQ5_K>(product, first, end, terms, rows, buffer);
    case TensorType::kQ4_K:
      return IntProduct<TensorType::kQ4_K>(product, first, end, terms, rows, buffer);
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

HWY_EXPORT(MultiplyPlain);

MultiplyIntegersFn PlainProducts() { return HWY_DYNAMIC_DISPATCH(MultiplyPlain); }

}  // namespace throng::model
#endif  // HWY_ONCE
