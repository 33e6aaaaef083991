#include "model/matmul/strips.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "base/huge_pages.h"
#include "model/matmul/matmul.h"

namespace throng::model {
namespace {

// The blocks of one place of a strip's rows; null rows are zeros.
void WriteBlock(const std::array<const uint8_t*, kStripRows>& rows, size_t offset, size_t block_bytes,
                StripHalf half, uint8_t* out) {
  if (half.bytes) {
    for (const uint8_t* row : rows) {
      std::memcpy(out, row + offset + half.offset, 2);
      out += 2;
    }
  }
  for (size_t at = 0; at < block_bytes; at += 4) {
    if (half.bytes && at == half.offset) at += half.bytes;
    if (at == block_bytes) break;
    for (const uint8_t* row : rows) {
      std::memcpy(out, row + offset + at, 4);
      out += 4;
    }
  }
}

}  // namespace

void Strips::Free::operator()(uint8_t* data) const { FreeHuge(data, bytes); }

Strips::Strips(const Matrix& rows)
    : rows_(std::make_unique<Matrix>(rows)), num_strips_((rows.rows + kStripRows - 1) / kStripRows) {
  THRONG_CHECK(IsQuantized(rows.type) && !rows.in_strips);
  const size_t bytes = num_strips_ * kStripRows * rows.RowBytes();
  data_ = {static_cast<uint8_t*>(AllocateHuge(bytes)), Free{bytes}};
}

void Strips::Write(size_t strip) {
  THRONG_CHECK(strip < num_strips_);
  const size_t row_bytes = rows_->RowBytes();
  const size_t block_bytes = BlockSizeOf(rows_->type)->bytes;
  const size_t first = strip * kStripRows;
  uint8_t* out = data_.get() + first * row_bytes;
  std::array<const uint8_t*, kStripRows> rows;
  std::vector<uint8_t> zeros;
  if (first + kStripRows > rows_->rows) zeros.resize(row_bytes);
  for (size_t i = 0; i < kStripRows; ++i) {
    rows[i] = first + i < rows_->rows ? rows_->data + (first + i) * row_bytes : zeros.data();
  }
  const StripHalf half = StripHalfOf(rows_->type);
  for (size_t offset = 0; offset < row_bytes; offset += block_bytes) {
    WriteBlock(rows, offset, block_bytes, half, out);
    out += kStripRows * block_bytes;
  }
}

Matrix Strips::View() const {
  Matrix view = *rows_;
  view.data = data_.get();
  view.in_strips = true;
  return view;
}

}  // namespace throng::model
