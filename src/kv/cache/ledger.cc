#include "kv/cache/ledger.h"

#include "kv/block_layout.h"
#include "kv/cache/block_pool.h"

namespace throng::kv {

std::vector<LedgerEntry> Entries(const LedgerBytes& bytes) {
  return {{"codes", bytes.codes},   {"scales", bytes.scales},   {"low_rank", bytes.low_rank},
          {"sparse", bytes.sparse}, {"padding", bytes.padding}, {"state", bytes.state},
          {"open", bytes.open},     {"chunk", bytes.chunk}};
}

LedgerBytes SealedBlockBytes(const BlockLayout& layout, BlockKind kind, size_t stride) {
  LedgerBytes sum;
  for (const PagePlace& place : PagesOf(layout, kind)) {
    const ByteCounts counts = place.codec->Count(place.part);
    sum.codes += counts.codes;
    sum.scales += counts.scales;
    sum.low_rank += counts.low_rank;
    sum.sparse += counts.sparse;
  }
  sum.padding = stride - sum.Total();
  return sum;
}

}  // namespace throng::kv
