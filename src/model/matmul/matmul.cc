#include "model/matmul/matmul.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <memory>

#include "base/amx.h"
#include "base/check.h"
#include "base/half.h"
#include "base/simd_target.h"
#include "base/thread_pool.h"
#include "model/matmul/float_products.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "model/matmul/matmul.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "model/matmul/matmul_float-inl.h"
#include "model/matmul/matmul_int-inl.h"
#include "model/matmul/matmul_quantize-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {

// remainder: receives what rounding to `out` left; may be null. tiles: of both, or null.
void QuantizeRows(const float* x, size_t x_stride, size_t first, size_t count, QuantizedRows& out,
                  QuantizedRows* remainder, ActivationTile* const (&tiles)[2]) {
  std::vector<float> left(remainder ? out.groups * kGroup : 0);
  for (size_t r = first; r < first + count; ++r) {
    QuantizeRow(x + r * x_stride, r, out, remainder ? left.data() : nullptr);
    if (tiles[0]) TileRow(out, r, tiles[0]);
    if (!remainder) continue;
    QuantizeRow(left.data(), r, *remainder, nullptr);
    if (tiles[1]) TileRow(*remainder, r, tiles[1]);
  }
}

size_t TileOutputs(bool as_integers) { return as_integers ? kTile : kFloatTile; }

size_t WorkerBytes(size_t cols) {
  return std::max(IntWorkerBytes(), (kFloatBuffer + kFloatTile * cols) * sizeof(float));
}

// Whether BF16 weights are multiplied as such. If not, their activations have values of BF16 too, as floats.
HWY_INLINE bool MultipliesBfloats() { return HWY_TARGET == HWY_AVX3_DL && HasBfloatProducts(); }

// Of an activation that is rounded to BF16.
size_t RoundedBytes() { return MultipliesBfloats() ? sizeof(uint16_t) : sizeof(float); }

// out: [rows, cols] with out_stride numbers from row to row.
void RoundRows(const float* x, size_t x_stride, size_t first, size_t count, size_t cols, uint8_t* out,
               size_t out_stride) {
  const hn::RebindToUnsigned<DFloat> du;
  const hn::Rebind<uint16_t, DFloat> d16;
  const size_t end = cols / kFloatLanes * kFloatLanes;
  for (size_t r = first; r < first + count; ++r) {
    const float* row = x + r * x_stride;
    auto* bfloats = reinterpret_cast<uint16_t*>(out) + r * out_stride;
    auto* floats = reinterpret_cast<float*>(out) + r * out_stride;
    const bool as_bfloats = MultipliesBfloats();
    for (size_t k = 0; k < end; k += kFloatLanes) {
      const auto bits = hn::BitCast(du, hn::LoadU(DFloat(), row + k));
      const auto last = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
      const auto high = hn::ShiftRight<16>(hn::Add(bits, hn::Add(last, hn::Set(du, 0x7fff))));
      if (as_bfloats) {
        hn::StoreU(hn::DemoteTo(d16, hn::BitCast(hn::RebindToSigned<DFloat>(), high)), d16, bfloats + k);
      } else {
        hn::StoreU(hn::BitCast(DFloat(), hn::ShiftLeft<16>(high)), DFloat(), floats + k);
      }
    }
    for (size_t k = end; k < cols; ++k) {
      const uint16_t rounded = FloatToBfloat16(row[k]);
      if (as_bfloats) {
        bfloats[k] = rounded;
      } else {
        floats[k] = Bfloat16ToFloat(rounded);
      }
    }
  }
}

// One tile of outputs in floats, up to FloatRowsAtOnce rows. y: their first output. buffer: as above.
void MultiplyFloats(const Product& product, size_t first_output, const FloatActivations& x, size_t first_row,
                    size_t rows, float* y, float* buffer) {
  const float* exact = x.exact + first_row * x.stride;
  const size_t rounded_first = first_row * x.rounded_stride;
  switch (product.w.type) {
    case TensorType::kF32:
      return FloatTile<InFloats<TensorType::kF32>>(product, first_output, exact, rows, x.stride, y, buffer);
    case TensorType::kF16:
      return FloatTile<InFloats<TensorType::kF16>>(product, first_output, exact, rows, x.stride, y, buffer);
    case TensorType::kBF16:
      if (x.rounded == nullptr) {
        return FloatTile<InFloats<TensorType::kBF16>>(product, first_output, exact, rows, x.stride, y,
                                                      buffer);
      }
#if HWY_TARGET == HWY_AVX3_DL
      if (MultipliesBfloats()) {
        return FloatTile<InBfloats>(product, first_output,
                                    reinterpret_cast<const uint16_t*>(x.rounded) + rounded_first, rows,
                                    x.rounded_stride, y, buffer);
      }
#endif
      return FloatTile<InFloats<TensorType::kBF16>>(product, first_output,
                                                    reinterpret_cast<const float*>(x.rounded) + rounded_first,
                                                    rows, x.rounded_stride, y, buffer);
    default:
      return DequantizedTile(product, first_output, exact, rows, x.stride, y, buffer);
  }
}

// Outputs [first, end), whole tiles, of all rows, in floats. buffer: as above.
void MultiplyInFloats(const Product& product, size_t first, size_t end, const FloatActivations& x,
                      size_t rows, uint8_t* buffer) {
  const size_t at_once = FloatRowsAtOnce(product.w.cols);
  for (size_t r = 0; r < rows; r += at_once) {
    for (size_t o = first; o < end; o += kFloatTile) {
      MultiplyFloats(product, o, x, r, HWY_MIN(at_once, rows - r), product.y + r * product.y_stride + o,
                     reinterpret_cast<float*>(buffer));
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::model {

HWY_EXPORT(QuantizeRows);
HWY_EXPORT(RoundedBytes);
HWY_EXPORT(RoundRows);
HWY_EXPORT(TileOutputs);
HWY_EXPORT(WorkerBytes);
HWY_EXPORT(MultiplyInFloats);

namespace {

// From this many rows on, matrix instructions are faster.
constexpr size_t kMinAmxRows = 11;

// Below this much work a second thread costs more than it saves.
constexpr double kMinParallelNs = 15e3;

double EstimateNs(std::span<const Product> products, size_t rows) {
  double elements = 0;
  for (const Product& product : products) elements += static_cast<double>(product.w.rows * product.w.cols);
  return elements * (0.05 + 0.01 * static_cast<double>(rows));
}

void Resize(QuantizedRows& rows, size_t count, size_t cols) {
  rows.groups = cols / 32;
  rows.codes.resize(count * cols);
  rows.scales.resize(count * rows.groups);
  rows.sums.resize(count * rows.groups);
  rows.code_sums.resize(count * rows.groups);
  rows.half_sums.resize(count * rows.groups * 2);
}

// At least `bytes` of `buffer`, aligned to 64.
uint8_t* Reserve(std::vector<uint8_t>& buffer, size_t bytes) {
  if (buffer.size() < bytes + 64) buffer.resize(bytes + 64);
  return buffer.data() + (64 - reinterpret_cast<uintptr_t>(buffer.data()) % 64) % 64;
}

// Tiles of `rows` rows in `buffer`, whose last ones are filled up.
ActivationTile* ReserveTiles(size_t rows, size_t groups, std::vector<uint8_t>& buffer) {
  const size_t blocks = (rows + kActivationRows - 1) / kActivationRows;
  auto* tiles = reinterpret_cast<ActivationTile*>(Reserve(buffer, blocks * groups * sizeof(ActivationTile)));
  if (rows % kActivationRows != 0) std::fill_n(tiles + (blocks - 1) * groups, groups, ActivationTile{});
  return tiles;
}

// Calls body(first, count) for all rows, on all threads if that pays.
void ForRows(size_t rows, size_t cols, ThreadPool* pool, const std::function<void(size_t, size_t)>& body) {
  constexpr size_t kElementsPerTask = 8 << 10;  // some microseconds
  const size_t rows_per_task = std::max<size_t>(1, kElementsPerTask / cols);
  if (!pool || rows <= rows_per_task) return body(0, rows);
  pool->ParallelFor((rows + rows_per_task - 1) / rows_per_task, [&](size_t task, int) {
    const size_t first = task * rows_per_task;
    body(first, std::min(rows_per_task, rows - first));
  });
}

// In scratch.workers, tiles come first.
constexpr size_t kTileBuffers = 2;

// x as integer products take it: its rounded rows and, if `fine`, what rounding left.
std::vector<Term> Quantize(const float* x, size_t rows, size_t cols, size_t x_stride, bool fine,
                           MatMulScratch& scratch, ThreadPool* pool) {
  QuantizedRows* const remainder = fine ? &scratch.remainder : nullptr;
  ActivationTile* tiles[kTileBuffers] = {};
  std::vector<Term> terms;
  for (QuantizedRows* out : {&scratch.quantized, remainder}) {
    if (!out) continue;
    Resize(*out, rows, cols);
    const size_t i = terms.size();
    if (rows >= kMinAmxRows && AmxInt8Usable())
      tiles[i] = ReserveTiles(rows, out->groups, scratch.workers[i]);
    terms.push_back({out, tiles[i]});
  }
  const auto quantize = HWY_DYNAMIC_DISPATCH(QuantizeRows);
  ForRows(rows, cols, pool, [&](size_t first, size_t count) {
    quantize(x, x_stride, first, count, scratch.quantized, remainder, tiles);
  });
  return terms;
}

// Rounds x to BF16.
void Round(FloatActivations& x, size_t rows, size_t cols, MatMulScratch& scratch, ThreadPool* pool) {
  const size_t bytes = HWY_DYNAMIC_DISPATCH(RoundedBytes)();
  // A line more than a row, or rows of the usual sizes would share the sets of the cache.
  x.rounded_stride = (cols * bytes / 64 + 2) * 64 / bytes;
  uint8_t* out = Reserve(scratch.rounded, rows * x.rounded_stride * bytes);
  const auto round = HWY_DYNAMIC_DISPATCH(RoundRows);
  ForRows(rows, cols, pool, [&](size_t first, size_t count) {
    round(x.exact, x.stride, first, count, cols, out, x.rounded_stride);
  });
  x.rounded = out;
}

MultiplyIntegersFn IntegersOf(TensorType type) {
  switch (FamilyOf(type)) {
    case Family::kPlain:
      return PlainProducts();
    case Family::kLowBit:
      return LowBitProducts();
    case Family::kCodebook:
      return CodebookProducts();
  }
  THRONG_CHECK(false);
}

// Multiplies outputs [first, end) by the matrix's scale.
void ScaleOutputs(const Product& product, size_t first, size_t end, size_t rows) {
  if (product.w.scales == nullptr) return;
  THRONG_CHECK(product.w.parts == 1);
  for (size_t r = 0; r < rows; ++r) {
    float* y = product.y + r * product.y_stride;
    for (size_t o = first; o < std::min(end, product.w.rows); ++o) y[o] *= *product.w.scales;
  }
}

// Hands out the tasks 0 to count - 1, each once: to each thread those of its own part in order, so that it
// reads one stream of memory, and then what others have left.
class TaskParts {
 public:
  TaskParts(size_t count, size_t threads) : threads_(threads), parts_(std::make_unique<Part[]>(threads)) {
    for (size_t i = 0; i < threads; ++i) {
      parts_[i].next.store(count * i / threads, std::memory_order_relaxed);
      parts_[i].end = count * (i + 1) / threads;
    }
  }

  // To be called once for each task.
  size_t Take(size_t worker) {
    for (size_t i = worker;; i = (i + 1) % threads_) {
      const size_t task = parts_[i].next.fetch_add(1, std::memory_order_relaxed);
      if (task < parts_[i].end) return task;
    }
  }

 private:
  struct alignas(64) Part {
    std::atomic<size_t> next = 0;
    size_t end = 0;
  };

  const size_t threads_;
  const std::unique_ptr<Part[]> parts_;
};

}  // namespace

bool IsQuantized(TensorType type) { return BlockSizeOf(type)->elements > 1; }

void MatMul(const float* x, size_t rows, size_t cols, size_t x_stride, std::span<const Product> products,
            MatMulScratch& scratch, ThreadPool* pool) {
  if (rows == 0) return;
  if (pool && (pool->NumThreads() == 1 || EstimateNs(products, rows) < kMinParallelNs)) pool = nullptr;
  const auto as_integers = [&](const Product& p) {
    return IsQuantized(p.w.type) && !scratch.exact_activations;
  };
  const auto outputs_of = [&](const Product& p) { return HWY_DYNAMIC_DISPATCH(TileOutputs)(as_integers(p)); };
  bool quantize = false;
  bool fine = false;
  bool round = false;
  std::vector<size_t> ends;  // the end of each product, in tiles
  std::vector<MultiplyIntegersFn> integers;
  size_t tiles = 0;
  for (const Product& product : products) {
    THRONG_CHECK(product.w.cols == cols && !(product.w.in_strips && scratch.exact_activations));
    const size_t outputs = outputs_of(product);
    quantize |= as_integers(product);
    fine |= as_integers(product) && product.fine;
    round |= product.w.type == TensorType::kBF16 && !scratch.exact_activations;
    tiles += (product.w.rows + outputs - 1) / outputs;
    ends.push_back(tiles);
    integers.push_back(as_integers(product) ? IntegersOf(product.w.type) : nullptr);
  }
  const size_t threads = pool ? static_cast<size_t>(pool->NumThreads()) : 1;
  if (scratch.workers.size() < kTileBuffers + threads) scratch.workers.resize(kTileBuffers + threads);
  const size_t buffer_bytes = HWY_DYNAMIC_DISPATCH(WorkerBytes)(cols);
  std::vector<Term> terms;
  if (quantize) terms = Quantize(x, rows, cols, x_stride, fine, scratch, pool);
  FloatActivations floats{x, x_stride, nullptr, 0};
  if (round) Round(floats, rows, cols, scratch, pool);
  const auto in_floats = HWY_DYNAMIC_DISPATCH(MultiplyInFloats);
  const auto run = [&](size_t first, size_t count, int worker) {
    uint8_t* buffer = Reserve(scratch.workers[kTileBuffers + static_cast<size_t>(worker)], buffer_bytes);
    size_t p = 0;
    for (size_t tile = first; tile < first + count;) {
      while (tile >= ends[p]) ++p;
      const size_t before = p ? ends[p - 1] : 0;  // tiles of earlier products
      const size_t end = std::min(first + count, ends[p]);
      const Product& product = products[p];
      const size_t outputs = outputs_of(product);
      const size_t first_output = (tile - before) * outputs;
      const size_t end_output = (end - before) * outputs;
      if (integers[p] != nullptr) {
        const std::span<const Term> of_product(terms.data(), product.fine ? 2 : 1);
        integers[p](product, first_output, end_output, {of_product}, rows, buffer);
      } else {
        in_floats(product, first_output, end_output, floats, rows, buffer);
      }
      ScaleOutputs(product, first_output, end_output, rows);
      tile = end;
    }
  };
  if (!pool) return run(0, tiles, 0);
  constexpr size_t kTasksPerThread = 8;  // enough to balance threads of unequal speed
  const size_t tiles_per_task = std::max<size_t>(1, tiles / (threads * kTasksPerThread));
  const size_t tasks = (tiles + tiles_per_task - 1) / tiles_per_task;
  TaskParts parts(tasks, threads);
  pool->ParallelFor(tasks, [&](size_t, int worker) {
    const size_t first = parts.Take(static_cast<size_t>(worker)) * tiles_per_task;
    run(first, std::min(tiles_per_task, tiles - first), worker);
  });
}

}  // namespace throng::model
#endif  // HWY_ONCE
