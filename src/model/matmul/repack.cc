#include "model/matmul/repack.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/cores.h"
#include "model/matmul/matmul.h"

namespace throng::model {
namespace {

bool IsIntel() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_is("intel") != 0;
#else
  return false;
#endif
}

// The blocks at one place of a strip's rows.
void WriteBlock(TensorType type, const std::array<const uint8_t*, kStripRows>& rows, size_t offset,
                uint8_t* out) {
  const size_t bytes = BlockSizeOf(type)->bytes;
  const StripLayout layout = StripLayoutOf(type);
  uint8_t* scale = out;
  for (const uint8_t* row : rows) {
    std::memcpy(scale, row + offset + layout.rest_offset, layout.rest);
    scale += layout.rest;
  }
  for (size_t at = layout.rest_offset == 0 ? layout.rest : 0; at + 4 <= bytes; at += 4) {
    uint8_t* word = out + kStripRows * StripPlace(layout, at);
    for (const uint8_t* row : rows) {
      std::memcpy(word, row + offset + at, 4);
      word += 4;
    }
  }
}

// Parts that are multiplied apart have strips of their own.
bool HasStrips(const Matrix& rows) {
  return IsQuantized(rows.type) && (rows.parts == 1 || rows.rows / rows.parts % kStripRows == 0);
}

}  // namespace

const size_t kFetchDistance = IsIntel() ? 3072 : 8192;

void RepackedMatrix::Free::operator()(uint8_t* data) const { FreeHuge(data, bytes); }

RepackedMatrix::RepackedMatrix(const Matrix& rows, const AllocateFn& allocate)
    : rows_(std::make_unique<Matrix>(rows)), num_strips_((rows.rows + kStripRows - 1) / kStripRows) {
  THRONG_CHECK(!rows.in_strips);
  const size_t bytes = num_strips_ * kStripRows * rows.RowBytes();
  data_ = {static_cast<uint8_t*>(allocate(bytes)), Free{bytes}};
  // A smaller matrix may share its pages with others.
  static const std::vector<MemoryNode> nodes = MemoryNodes();
  if (bytes >= kHugePage) SpreadOverNodes(data_.get(), bytes, nodes);
}

void RepackedMatrix::Write(size_t strip) {
  THRONG_CHECK(strip < num_strips_);
  const size_t row_bytes = rows_->RowBytes();
  const size_t first = strip * kStripRows;
  const size_t count = std::min(kStripRows, rows_->rows - first);
  const uint8_t* from = rows_->data + first * row_bytes;
  uint8_t* out = data_.get() + first * row_bytes;
  if (!HasStrips(*rows_)) {
    std::memcpy(out, from, count * row_bytes);
    return;
  }
  const std::vector<uint8_t> zeros(count < kStripRows ? row_bytes : 0);
  std::array<const uint8_t*, kStripRows> rows;
  for (size_t i = 0; i < kStripRows; ++i) rows[i] = i < count ? from + i * row_bytes : zeros.data();
  const size_t block_bytes = BlockSizeOf(rows_->type)->bytes;
  for (size_t offset = 0; offset < row_bytes; offset += block_bytes, out += kStripRows * block_bytes) {
    WriteBlock(rows_->type, rows, offset, out);
  }
}

Matrix RepackedMatrix::View() const {
  Matrix view = *rows_;
  view.data = data_.get();
  view.in_strips = HasStrips(view);
  return view;
}

}  // namespace throng::model
