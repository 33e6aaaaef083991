#include "attention/attention.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>
#include <new>
#include <optional>

#include "attention/softmax.h"
#include "base/amx.h"
#include "base/check.h"
#include "base/thread_pool.h"
#include "kv/amx_products.h"
#include "kv/open_codec.h"

namespace throng::attention {
namespace {

using kv::kPageTokens;

// Rows that share one pass over a page. 64 rows of head size 128 and their page take 144 KiB: this fits the
// L2 of all current cores, and is enough rows to make the cost of loading the page negligible. A latent page
// is decoded in each pass, so that more rows pay, although they take 600 KiB. A group of more query heads is
// a tile of its own.
constexpr int kTileRows = 64;
constexpr int kLatentTileRows = 128;

// Query tokens of one block, all heads of the group: row = token * group + head. All rows see a page in the
// same form, as it depends on their block alone.
struct Tile {
  int first_position;  // in the sequence
  int num_tokens;
  int num_rows;
  // Prepared for the codecs of the pages' keys, [num_rows, QueryBytes()].
  const uint8_t* base_queries;
  const uint8_t* fine_queries;
  const uint8_t* open_queries;
  const float* bias_rows;  // [num_rows, job.key_bias->RowSize()], or null
  float* scores;           // [num_rows, 64]
  float* out;              // [num_rows, value_dim]
  float* max;              // [num_rows]; sum and rescale too
  float* sum;
  float* rescale;
  float* thresholds;  // [num_rows], or null for the exact softmax
  Visible* visible;
};

class Carver {
 public:
  explicit Carver(void* base) : base_(reinterpret_cast<uintptr_t>(base)) {}  // null: only counts
  template <typename T>
  T* Take(size_t count) {
    T* p = reinterpret_cast<T*>(base_ + used_);
    used_ += kv::RoundUp64(count * sizeof(T));
    return p;
  }
  size_t Used() const { return used_; }

 private:
  uintptr_t base_;
  size_t used_ = 0;
};

const kv::LayerShape& ShapeOf(const AttentionJob& job) {
  return job.cache->Layout().layers[static_cast<size_t>(job.layer)];
}

int FirstVisible(const AttentionJob& job, int position) {
  return kv::Reach{job.window, job.chunk}.First(position);
}

// A codec and the queries in the form that its Score reads.
struct Prepared {
  const kv::Codec* codec;
  uint8_t* rows;  // [num_rows, codec->QueryBytes()]
};

void PrepareQueries(const AttentionJob& job, std::span<const Prepared> prepared, int first_token,
                    int num_tokens) {
  const int key_dim = ShapeOf(job).key_dim;
  alignas(64) float query[kv::kMaxHeadDim];
  for (int i = 0; i < num_tokens; ++i) {
    for (int g = 0; g < job.group; ++g) {
      const float* from = job.queries + (first_token - job.first_token + i) * job.query_stride +
                          static_cast<size_t>(g) * key_dim;
      const size_t row = static_cast<size_t>(i) * job.group + g;
      for (int j = 0; j < key_dim; ++j) query[j] = from[j] * job.scale;
      for (const auto& [codec, rows] : prepared) codec->PrepareQuery(query, rows + row * codec->QueryBytes());
    }
  }
}

void PrepareBias(const AttentionJob& job, int first_token, int num_rows, float* rows) {
  const size_t key_dim = static_cast<size_t>(ShapeOf(job).key_dim);
  for (int r = 0; r < num_rows; ++r, rows += job.key_bias->RowSize()) {
    const int index = first_token - job.first_token + r / job.group;
    const float* token = job.queries + static_cast<size_t>(index) * job.query_stride;
    PrepareKeyBias(*job.key_bias, token + static_cast<size_t>(r % job.group) * key_dim, job.scale, rows);
  }
}

// A page that a tile's rows see.
struct SeenPage {
  const kv::Codec* keys;
  const kv::Codec* values;  // null where values are in the keys
  const uint8_t* queries;
  kv::PageView view;
};

SeenPage SealedPage(const AttentionJob& job, const Tile& tile, int block, int own_block) {
  const kv::BlockLayout& layout = job.cache->Layout();
  const kv::PageSpec& page = layout.At(job.layer, job.kv_head);
  const kv::Form form = layout.window.Seen(block, own_block);
  const bool fine = form == kv::Form::kFine;
  return {fine ? page.fine_keys : page.keys, fine ? page.fine_values : page.values,
          fine ? tile.fine_queries : tile.base_queries,
          job.cache->Sealed(job.layer, job.kv_head, block, form)};
}

// Fetches the page that follows into the processor's cache, in four parts between the steps of this page: so
// reads of the memory go on while all of them compute. Large pages go to the second level, as they would
// drive this page out of the first.
class NextPage {
 public:
  NextPage() = default;  // none
  explicit NextPage(const SeenPage& page)
      : parts_{Lines{page.view.keys, page.keys->Bytes(kv::Part::kKeys)}, Lines{}} {
    if (page.values != nullptr) parts_[1] = {page.view.values, page.values->Bytes(kv::Part::kValues)};
    per_step_ = (parts_[0].bytes + parts_[1].bytes + 255) / 256 * 64;
  }

  void FetchQuarter() {
    size_t left = per_step_;
    for (Lines& part : parts_) {
      const size_t bytes = std::min(left, part.bytes);
      if (4 * per_step_ <= kMostNear) {
        for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(part.at + i, 0, 3);
      } else {
        for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(part.at + i, 0, 2);
      }
      part.at += bytes;
      part.bytes -= bytes;
      left -= bytes;
    }
  }

 private:
  struct Lines {
    const uint8_t* at = nullptr;
    size_t bytes = 0;
  };
  static constexpr size_t kMostNear = 16 << 10;

  std::array<Lines, 2> parts_;
  size_t per_step_ = 0;
};

void MixPage(const AttentionJob& job, const Tile& tile, const SeenPage& page) {
  if (page.values != nullptr) {
    page.values->Mix(page.view.values, tile.scores, tile.rescale, tile.num_rows, tile.out);
    return;
  }
  const kv::LayerShape& shape = ShapeOf(job);
  page.keys->MixKeys(page.view.keys, tile.scores, tile.rescale, {shape.key_dim, shape.value_dim},
                     tile.num_rows, tile.out);
}

// first_in_page: position of the page's first token.
void AttendPage(const AttentionJob& job, const Tile& tile, const SeenPage& page, NextPage next,
                int first_in_page) {
  for (int r = 0; r < tile.num_rows; ++r) {
    const int position = tile.first_position + r / job.group;
    tile.visible[r] = {std::max(0, FirstVisible(job, position) - first_in_page),
                       std::min(kPageTokens, position + 1 - first_in_page)};
  }
  next.FetchQuarter();
  page.keys->Score(page.view.keys, page.queries, tile.num_rows, tile.scores);
  next.FetchQuarter();
  if (job.key_bias != nullptr) {
    AddKeyBias(*job.key_bias, first_in_page / kPageTokens, tile.bias_rows, tile.num_rows, tile.scores);
  }
  if (job.score_cap > 0) CapScores(job.score_cap, tile.num_rows, tile.scores);
  SoftmaxPage(tile.visible, tile.num_rows, tile.thresholds, tile.scores, tile.max, tile.sum, tile.rescale);
  next.FetchQuarter();
  MixPage(job, tile, page);
  next.FetchQuarter();
}

// The state of the online softmax before the first page. A learned sink is a score that comes first: its
// probability relative to itself is 1.
void BeginRows(const AttentionJob& job, const Tile& tile, size_t value_dim) {
  std::fill(tile.out, tile.out + static_cast<size_t>(tile.num_rows) * value_dim, 0.0f);
  for (int r = 0; r < tile.num_rows; ++r) {
    tile.max[r] = job.sinks != nullptr ? job.sinks[r % job.group] : -std::numeric_limits<float>::infinity();
    tile.sum[r] = job.sinks != nullptr ? 1.0f : 0.0f;
  }
}

void SetThresholds(const AttentionJob& job, const Tile& tile) {
  for (int r = 0; r < tile.num_rows; ++r) {
    const int position = tile.first_position + r / job.group;
    tile.thresholds[r] = SasThreshold(position + 1 - FirstVisible(job, position));
  }
}

// Tokens [first_token, first_token + num_tokens) of the job, all in one block.
void AttendTile(const AttentionJob& job, int first_token, int num_tokens, AttentionScratch& scratch) {
  // Around all kernels, which would configure the tiles for each page.
  std::optional<TileScope> tiles;
  if (num_tokens * job.group >= kv::kLeastAmxRows && AmxInt8Usable()) tiles.emplace();
  const kv::SequenceCache& cache = *job.cache;
  const auto value_dim = static_cast<size_t>(ShapeOf(job).value_dim);
  const kv::PageSpec& page = cache.Layout().At(job.layer, job.kv_head);

  Tile tile;
  tile.first_position = cache.NumTokens() + first_token;
  tile.num_tokens = num_tokens;
  tile.num_rows = num_tokens * job.group;
  const size_t rows = static_cast<size_t>(tile.num_rows);
  uint8_t* open_queries = nullptr;
  uint8_t* base_queries = nullptr;
  uint8_t* fine_queries = nullptr;
  float* bias_rows = nullptr;
  const auto carve = [&](void* base) {
    Carver carver(base);
    open_queries = carver.Take<uint8_t>(rows * page.open_keys->QueryBytes());
    base_queries =
        page.keys == page.open_keys ? open_queries : carver.Take<uint8_t>(rows * page.keys->QueryBytes());
    if (page.fine_keys != nullptr) fine_queries = carver.Take<uint8_t>(rows * page.fine_keys->QueryBytes());
    tile.scores = carver.Take<float>(rows * kPageTokens);
    tile.out = carver.Take<float>(rows * value_dim);
    tile.max = carver.Take<float>(rows);
    tile.sum = carver.Take<float>(rows);
    tile.rescale = carver.Take<float>(rows);
    tile.thresholds = job.softmax == SoftmaxKind::kSas ? carver.Take<float>(rows) : nullptr;
    tile.visible = carver.Take<Visible>(rows);
    if (job.key_bias != nullptr) bias_rows = carver.Take<float>(rows * job.key_bias->RowSize());
    return carver.Used();
  };
  const size_t bytes = carve(nullptr);
  carve(scratch.Get(bytes));
  tile.open_queries = open_queries;
  tile.base_queries = base_queries;
  tile.fine_queries = fine_queries;
  tile.bias_rows = bias_rows;

  std::array<Prepared, 3> prepared;
  size_t num_prepared = 0;
  prepared[num_prepared++] = {page.open_keys, open_queries};
  if (base_queries != open_queries) prepared[num_prepared++] = {page.keys, base_queries};
  if (fine_queries != nullptr) prepared[num_prepared++] = {page.fine_keys, fine_queries};
  PrepareQueries(job, std::span(prepared).first(num_prepared), first_token, num_tokens);
  if (job.key_bias != nullptr) PrepareBias(job, first_token, tile.num_rows, bias_rows);
  BeginRows(job, tile, value_dim);
  if (tile.thresholds != nullptr) SetThresholds(job, tile);

  const int own_block = tile.first_position / kPageTokens;
  const auto seen = [&](int block) {
    if (block < own_block) return SealedPage(job, tile, block, own_block);
    return SeenPage{page.open_keys, page.open_values, tile.open_queries,
                    cache.Open(job.layer, job.kv_head, own_block)};
  };
  const int first_block = FirstVisible(job, tile.first_position) / kPageTokens;
  SeenPage next = seen(first_block);
  for (int block = first_block; block <= own_block; ++block) {
    const SeenPage now = next;
    NextPage ahead;
    if (block < own_block) {
      next = seen(block + 1);
      ahead = NextPage(next);
    }
    AttendPage(job, tile, now, ahead, block * kPageTokens);
  }

  for (int r = 0; r < tile.num_rows; ++r) {
    const auto index = static_cast<size_t>(first_token - job.first_token + r / job.group);
    float* to = job.out + index * job.out_stride + static_cast<size_t>(r % job.group) * value_dim;
    ScaleRow(tile.out + static_cast<size_t>(r) * value_dim, static_cast<int>(value_dim), 1.0f / tile.sum[r],
             to);
  }
}

// Number of tokens in the tile that begins at first_token: within one block, of so many rows at most.
int TileTokens(const AttentionJob& job, int first_token) {
  const int in_block = kPageTokens - (job.cache->NumTokens() + first_token) % kPageTokens;
  const int rows = ShapeOf(job).values_in_keys ? kLatentTileRows : kTileRows;
  const int in_tile = std::max(1, rows / job.group);
  return std::min({in_block, in_tile, job.first_token + job.num_tokens - first_token});
}

}  // namespace

void AttentionScratch::Free::operator()(void* p) const { std::free(p); }

void* AttentionScratch::Get(size_t bytes) {
  if (bytes > bytes_) {
    bytes_ = (bytes + 4095) / 4096 * 4096;
    buffer_.reset(std::aligned_alloc(64, bytes_));
    if (buffer_ == nullptr) throw std::bad_alloc();
  }
  return buffer_.get();
}

void Attend(const AttentionJob& job, AttentionScratch& scratch) {
  THRONG_DCHECK(job.num_tokens >= 1 && job.first_token + job.num_tokens <= job.cache->ChunkTokens());
  const int end = job.first_token + job.num_tokens;
  for (int token = job.first_token; token < end;) {
    const int count = TileTokens(job, token);
    AttendTile(job, token, count, scratch);
    token += count;
  }
}

void AttendAll(std::span<const AttentionJob> jobs, ThreadPool& pool, std::vector<AttentionScratch>& scratch) {
  struct Work {
    const AttentionJob* job;
    int first_token;
    int num_tokens;
    int64_t cost;  // pages times rows
  };
  std::vector<Work> work;
  for (const AttentionJob& job : jobs) {
    THRONG_DCHECK(job.num_tokens >= 1 && job.first_token + job.num_tokens <= job.cache->ChunkTokens());
    for (int token = job.first_token; token < job.first_token + job.num_tokens;) {
      const int count = TileTokens(job, token);
      const int position = job.cache->NumTokens() + token;
      const int pages = position / kPageTokens - FirstVisible(job, position) / kPageTokens + 1;
      work.push_back({&job, token, count, static_cast<int64_t>(pages) * count * job.group});
      token += count;
    }
  }
  // Longest first, so that the threads finish together.
  std::stable_sort(work.begin(), work.end(), [](const Work& a, const Work& b) { return a.cost > b.cost; });
  if (scratch.size() < static_cast<size_t>(pool.NumThreads())) scratch.resize(pool.NumThreads());
  pool.ParallelFor(work.size(), [&](size_t i, int worker) {
    AttendTile(*work[i].job, work[i].first_token, work[i].num_tokens, scratch[worker]);
  });
}

}  // namespace throng::attention
