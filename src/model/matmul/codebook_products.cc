// Formats with codebooks.
#include "base/check.h"
#include "model/matmul/integer_products.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "model/matmul/codebook_products.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "model/matmul/matmul_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {

void MultiplyCodebooks(const Product& product, size_t first, size_t end, const Terms& terms, size_t rows,
                       uint8_t* buffer) {
  switch (product.w.type) {
    case TensorType::kIQ3_S:
      return IntProduct<TensorType::kIQ3_S>(product, first, end, terms, rows, buffer);
    case TensorType::kIQ3_XXS:
      return IntProduct<TensorType::kIQ3_XXS>(product, first, end, terms, rows, buffer);
    case TensorType::kIQ2_S:
      return IntProduct<TensorType::kIQ2_S>(product, first, end, terms, rows, buffer);
    case TensorType::kIQ2_XS:
      return IntProduct<TensorType::kIQ2_XS>(product, first, end, terms, rows, buffer);
    case TensorType::kIQ2_XXS:
      return IntProduct<TensorType::kIQ2_XXS>(product, first, end, terms, rows, buffer);
    case TensorType::kIQ1_M:
      return IntProduct<TensorType::kIQ1_M>(product, first, end, terms, rows, buffer);
    case TensorType::kIQ1_S:
      return IntProduct<TensorType::kIQ1_S>(product, first, end, terms, rows, buffer);
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

HWY_EXPORT(MultiplyCodebooks);

MultiplyIntegersFn CodebookProducts() { return HWY_DYNAMIC_DISPATCH(MultiplyCodebooks); }

}  // namespace throng::model
#endif  // HWY_ONCE
