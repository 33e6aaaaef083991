// From rows of logits to tokens: greedy, or temperature, top-k, top-p, min-p and a draw, as steps 1 and 3 to
// 8 at the head of engine/sampling/sampler.h say; rules and penalties are added to the logits before. All
// that is added up are integers, so the order of threads does not matter, and the token is the processor's.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/token_weight.h"

namespace throng::device {

struct SampleJob {
  const uint64_t* mask;  // bit t % 64 of word t / 64: token t is allowed; null: all are
  int row;               // of logits
  float temperature;     // 0: the largest logit
  float top_p;           // 0: the largest logit
  int top_k;             // 0: all
  uint64_t least;        // min-p: weights below it, ceil(2^40 min_p), are out
  uint64_t random;       // number `token_index` of the seed's stream
};

struct SampleArgs {
  const SampleJob* jobs;  // one for each block of the grid, along x
  const float* logits;    // [rows, vocab]
  uint64_t* weights;      // [jobs, vocab], for the kernel
  int32_t* tokens;        // [jobs]: the results; -1 if no token is left
  int vocab;              // at most 2^23
};

struct SampleTokens {
  using Args = SampleArgs;
  static constexpr int kThreads = 512;
  static constexpr int kWarps = kThreads / kWarpThreads;
  static constexpr int kBlocks = 1;
  static constexpr int kDigits = 256;

  struct Shared {
    uint64_t bins[kDigits];
    uint64_t of_threads[kThreads];
    uint64_t sum;
    float of_warps[kWarps];
    int32_t token;
  };
  static constexpr size_t kSharedBytes = sizeof(Shared);

  static THRONG_DEVICE void Run(const Args& args) {
    Shared& shared = *static_cast<Shared*>(SharedMemory());
    const int at = BlockIndex().x;
    const SampleJob& job = args.jobs[at];
    const Row row{args.logits + int64_t{job.row} * args.vocab, args.weights + int64_t{at} * args.vocab,
                  args.vocab, job.mask};
    const int32_t token = Sample(job, row, shared);
    if (ThreadIndex() == 0) args.tokens[at] = token;
  }

 private:
  struct Row {
    const float* logits;
    uint64_t* weights;
    int vocab;
    const uint64_t* mask;

    THRONG_DEVICE bool Allows(int id) const {
      return logits[id] == logits[id] && (mask == nullptr || (mask[id / 64] >> id % 64 & 1) != 0);
    }
    // The ids of a thread: each step of an ordered search.
    THRONG_DEVICE int Share() const { return (vocab + kThreads - 1) / kThreads; }
    THRONG_DEVICE int End(int thread) const {
      const int end = (thread + 1) * Share();
      return end < vocab ? end : vocab;
    }
  };

  // What a search goes by: tokens have a key and an amount; those of the amount 0 are not there.
  struct ByLogit {
    static constexpr int kTopShift = 24;
    const Row& row;
    // Rises with the logit; the same of 0 and -0.
    THRONG_DEVICE uint64_t Key(int id) const {
      const uint32_t bits = FloatToBits(row.logits[id] + 0.0f);
      return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
    }
    THRONG_DEVICE uint64_t Amount(int id) const { return row.Allows(id) ? 1 : 0; }
  };
  struct ByWeight {
    static constexpr int kTopShift = 40;
    const Row& row;
    uint64_t least;
    THRONG_DEVICE uint64_t Key(int id) const { return row.weights[id]; }
    THRONG_DEVICE uint64_t Amount(int id) const { return row.weights[id] >= least ? row.weights[id] : 0; }
  };

  struct Found {
    uint64_t key;
    uint64_t sum;  // of amounts, with the found token's
    int32_t id;
  };

  static THRONG_DEVICE int32_t Sample(const SampleJob& job, const Row& row, Shared& shared) {
    const Found everything{0, 0, row.vocab};
    if (job.temperature == 0.0f || job.top_p == 0.0f)
      return FirstWith(Largest(row, everything, shared), row, shared);
    const Found last = LastOfTopK(job.top_k, row, shared);
    const float largest = Largest(row, last, shared);
    const uint64_t sum = Weigh(job, largest, last, row, shared);
    if (sum == 0) return -1;
    const ByWeight tokens{row, job.least > 1 ? job.least : 1};
    const uint64_t likely = Total(tokens, row, shared);
    if (job.top_p >= 1.0f) return AfterInOrderOfIds(NumberBelow(likely, job.random), tokens, row, shared).id;
    const uint64_t share = RoundUp(static_cast<double>(job.top_p) * static_cast<double>(sum));
    const uint64_t wanted = share < sum ? share : sum;
    const uint64_t kept = likely < wanted ? likely : Reach(wanted, tokens, row, shared).sum;
    return Reach(NumberBelow(kept, job.random) + 1, tokens, row, shared).id;
  }

  // The last token of the k with the largest logits. Where all stay, all logits and ids are before it.
  static THRONG_DEVICE Found LastOfTopK(int k, const Row& row, Shared& shared) {
    const ByLogit tokens{row};
    if (k == 0 || static_cast<uint64_t>(k) >= Total(tokens, row, shared)) return {0, 0, row.vocab};
    return Reach(static_cast<uint64_t>(k), tokens, row, shared);
  }
  static THRONG_DEVICE bool Stays(int id, const Found& last, const Row& row) {
    if (!row.Allows(id)) return false;
    const uint64_t key = ByLogit{row}.Key(id);
    return key > last.key || (key == last.key && id <= last.id);
  }

  // Of the tokens that stay; -infinity if there is none.
  static THRONG_DEVICE float Largest(const Row& row, const Found& last, Shared& shared) {
    float largest = BitsToFloat(0xff800000u);
    for (int id = ThreadIndex(); id < row.vocab; id += kThreads) {
      if (Stays(id, last, row)) largest = Max(largest, row.logits[id]);
    }
    THRONG_UNROLL
    for (int mask = 1; mask < kWarpThreads; mask *= 2) largest = Max(largest, ShuffleXor(largest, mask));
    if (Lane() == 0) shared.of_warps[Warp()] = largest;
    Barrier();
    for (int warp = 0; warp < kWarps; ++warp) largest = Max(largest, shared.of_warps[warp]);
    return largest;
  }

  // The lowest id with this logit; -1 if there is none.
  static THRONG_DEVICE int32_t FirstWith(float logit, const Row& row, Shared& shared) {
    int32_t first = row.vocab;
    for (int id = row.vocab - 1 - ThreadIndex(); id >= 0; id -= kThreads) {
      if (row.logits[id] == logit && row.Allows(id)) first = id;
    }
    shared.of_threads[ThreadIndex()] = static_cast<uint64_t>(first);
    Barrier();
    for (int thread = 0; thread < kThreads; ++thread) {
      const auto other = static_cast<int32_t>(shared.of_threads[thread]);
      first = other < first ? other : first;
    }
    return first < row.vocab ? first : -1;
  }

  // Writes weights, and returns their sum.
  static THRONG_DEVICE uint64_t Weigh(const SampleJob& job, float largest, const Found& last, const Row& row,
                                      Shared& shared) {
    const double scale = 1.0 / static_cast<double>(job.temperature);
    const bool finite = Abs(largest) < BitsToFloat(0x7f800000u);
    for (int id = ThreadIndex(); id < row.vocab; id += kThreads) {
      uint64_t weight = 0;
      if (Stays(id, last, row)) {
        // The tokens of an infinite logit share the probability.
        const bool is_largest = row.logits[id] == largest;
        weight = finite       ? TokenWeight((static_cast<double>(row.logits[id]) - largest) * scale)
                 : is_largest ? kLargestTokenWeight
                              : 0;
      }
      row.weights[id] = weight;
    }
    return Total(ByWeight{row, 1}, row, shared);
  }

  // Afterwards, all threads see what others wrote before.
  template <typename Tokens>
  static THRONG_DEVICE uint64_t Total(const Tokens& tokens, const Row& row, Shared& shared) {
    if (ThreadIndex() == 0) shared.sum = 0;
    Barrier();
    uint64_t sum = 0;
    for (int id = ThreadIndex(); id < row.vocab; id += kThreads) sum += tokens.Amount(id);
    if (sum > 0) AtomicAdd(&shared.sum, sum);
    Barrier();
    sum = shared.sum;
    Barrier();  // the sum may be used again
    return sum;
  }

  // In the order of falling keys and rising ids: the token at which the sum of amounts reaches `wanted`,
  // which is at least 1 and at most the sum of all. Finds the key digit by digit.
  template <typename Tokens>
  static THRONG_DEVICE Found Reach(uint64_t wanted, const Tokens& tokens, const Row& row, Shared& shared) {
    uint64_t key = 0;
    uint64_t before = 0;  // amounts of larger keys
    THRONG_NO_UNROLL
    for (int shift = Tokens::kTopShift; shift >= 0; shift -= 8) {
      if (ThreadIndex() < kDigits) shared.bins[ThreadIndex()] = 0;
      Barrier();
      for (int id = ThreadIndex(); id < row.vocab; id += kThreads) {
        const uint64_t amount = tokens.Amount(id);
        const uint64_t of_token = tokens.Key(id);
        if (amount == 0 || (of_token ^ key) >> shift >> 8 != 0) continue;
        AtomicAdd(&shared.bins[of_token >> shift & 255], amount);
      }
      Barrier();
      int digit = kDigits - 1;
      for (; digit > 0 && before + shared.bins[digit] < wanted; --digit) before += shared.bins[digit];
      key |= static_cast<uint64_t>(digit) << shift;
      Barrier();  // bins are used again
    }
    const OfKey<Tokens> equal{tokens, key};
    Found found = AfterInOrderOfIds(wanted - before - 1, equal, row, shared);
    found.sum += before;
    return found;
  }
  template <typename Tokens>
  struct OfKey {
    const Tokens& tokens;
    uint64_t key;
    THRONG_DEVICE uint64_t Key(int id) const { return tokens.Key(id); }
    THRONG_DEVICE uint64_t Amount(int id) const { return tokens.Key(id) == key ? tokens.Amount(id) : 0; }
  };

  // The first token at which the sum of amounts, by rising ids, is more than `left`; there is one.
  template <typename Tokens>
  static THRONG_DEVICE Found AfterInOrderOfIds(uint64_t left, const Tokens& tokens, const Row& row,
                                               Shared& shared) {
    uint64_t own = 0;
    for (int id = ThreadIndex() * row.Share(); id < row.End(ThreadIndex()); ++id) own += tokens.Amount(id);
    shared.of_threads[ThreadIndex()] = own;
    Barrier();
    uint64_t sum = 0;
    int thread = 0;
    for (; thread < kThreads - 1 && sum + shared.of_threads[thread] <= left; ++thread)
      sum += shared.of_threads[thread];
    if (thread == ThreadIndex()) {
      int id = thread * row.Share();
      for (; id < row.End(thread) - 1 && sum + tokens.Amount(id) <= left; ++id) sum += tokens.Amount(id);
      shared.token = id;
      shared.sum = sum + tokens.Amount(id);
    }
    Barrier();
    // Whoever writes to these places next has waited for all threads once more.
    return {tokens.Key(shared.token), shared.sum, shared.token};
  }

  // Each number below `bound` about equally likely, as the processor's sampler has it: 53 bits of `random`
  // times the bound.
  static THRONG_DEVICE uint64_t NumberBelow(uint64_t bound, uint64_t random) {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(random >> 11) * bound >> 53);
  }
  static THRONG_DEVICE uint64_t RoundUp(double x) {  // x >= 0
    const auto whole = static_cast<uint64_t>(x);
    return static_cast<double>(whole) < x ? whole + 1 : whole;
  }
};

}  // namespace throng::device
