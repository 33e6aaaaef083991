#include "model/blocks/experts_block.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace throng::model {
namespace {

// A slot is one of a row's choices: row * num_chosen + rank.
struct ExpertRows {
  Rows normed;                                // [rows, dim], what the router reads, then the experts
  Rows scores;                                // [rows, experts]
  std::vector<ExpertsBlock::Choice> choices;  // [slots]
  std::vector<size_t> first_slots;            // [experts + 1], into `slots`
  std::vector<size_t> slots;                  // by expert
  Rows gathered;                              // [slots of an expert, dim]
  Rows gate, up;                              // [slots of an expert, ffn_dim]
  Rows results;                               // [slots of an expert, dim]
  Rows of_slots;                              // [slots, dim]
};

void Softmax(std::span<float> scores) {
  const float max = *std::ranges::max_element(scores);
  double sum = 0.0;
  for (float& score : scores) {
    score = std::exp(score - max);
    sum += static_cast<double>(score);
  }
  for (float& score : scores) score = static_cast<float>(static_cast<double>(score) / sum);
}

// The sum of the two best scores.
float GroupScore(std::span<const float> scores) {
  float best = -std::numeric_limits<float>::infinity();
  float second = best;
  for (const float score : scores) {
    if (score > best) {
      second = std::exchange(best, score);
    } else {
      second = std::max(second, score);
    }
  }
  return scores.size() > 1 ? best + second : best;
}

// Sets the scores of all groups but the best ones to minus infinity.
void KeepBestGroups(const RouterConfig& router, std::span<float> scores) {
  if (router.num_chosen_groups >= router.num_groups) return;
  const auto num_groups = static_cast<size_t>(router.num_groups);
  const size_t size = scores.size() / num_groups;
  std::vector<std::pair<float, size_t>> groups;
  for (size_t g = 0; g < num_groups; ++g) groups.emplace_back(-GroupScore(scores.subspan(g * size, size)), g);
  std::ranges::sort(groups);
  for (size_t i = static_cast<size_t>(router.num_chosen_groups); i < num_groups; ++i) {
    std::ranges::fill(scores.subspan(groups[i].second * size, size), -std::numeric_limits<float>::infinity());
  }
}

// Slots by expert.
void SortSlots(size_t num_experts, ExpertRows& rows) {
  rows.first_slots.assign(num_experts + 1, 0);
  for (const auto& choice : rows.choices) ++rows.first_slots[static_cast<size_t>(choice.expert) + 1];
  std::partial_sum(rows.first_slots.begin(), rows.first_slots.end(), rows.first_slots.begin());
  rows.slots.resize(rows.choices.size());
  std::vector<size_t> next(rows.first_slots.begin(), rows.first_slots.end() - 1);
  for (size_t slot = 0; slot < rows.choices.size(); ++slot) {
    rows.slots[next[static_cast<size_t>(rows.choices[slot].expert)]++] = slot;
  }
}

}  // namespace

ExpertsBlock::ExpertsBlock(const RouterConfig& router, const Options& options, ExpertsWeights weights)
    : router_(router), options_(options), weights_(std::move(weights)), ffn_dim_(weights_.down.cols) {}

std::string ExpertsBlock::Describe() const {
  return fmt::format("{} of {} experts", router_.num_chosen, router_.num_experts);
}

void ExpertsBlock::ForEachMatrix(const std::function<void(Matrix&)>& visit) {
  visit(weights_.router);
  if (weights_.gate.rows != 0) visit(weights_.gate);
  visit(weights_.up);
  visit(weights_.down);
}

Matrix ExpertsBlock::GateOf(size_t expert) const {
  if (options_.fused_gate) return weights_.up.Rows(2 * expert * ffn_dim_, ffn_dim_);
  return weights_.gate.Rows(expert * ffn_dim_, ffn_dim_);
}

Matrix ExpertsBlock::UpOf(size_t expert) const {
  if (options_.fused_gate) return weights_.up.Rows((2 * expert + 1) * ffn_dim_, ffn_dim_);
  return weights_.up.Rows(expert * ffn_dim_, ffn_dim_);
}

Matrix ExpertsBlock::DownOf(size_t expert) const {
  const size_t dim = weights_.down.rows / NumExperts();
  return weights_.down.Rows(expert * dim, dim);
}

void ExpertsBlock::Choose(const RouterConfig& router, const std::vector<float>& selection_bias, float* scores,
                          Choice* choices) {
  const std::span<float> all(scores, static_cast<size_t>(router.num_experts));
  using Scoring = RouterConfig::Scoring;
  if (router.scoring == Scoring::kSoftmax) Softmax(all);
  if (router.scoring == Scoring::kSigmoid) {
    for (float& score : all) score = 1.0f / (1.0f + std::exp(-score));
  }
  std::vector<float> ranked(all.begin(), all.end());
  for (size_t i = 0; i < selection_bias.size(); ++i) ranked[i] += selection_bias[i];
  // What is no number cannot be ordered. It stays in the weights, so that it shows in the results.
  for (float& score : ranked) {
    if (std::isnan(score)) score = -std::numeric_limits<float>::infinity();
  }
  KeepBestGroups(router, ranked);
  std::vector<int> order(ranked.size());
  std::iota(order.begin(), order.end(), 0);
  const auto better = [&](int a, int b) {
    const float x = ranked[static_cast<size_t>(a)];
    const float y = ranked[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  };
  const auto count = static_cast<size_t>(router.num_chosen);
  std::ranges::partial_sort(order, order.begin() + router.num_chosen, better);
  std::vector<float> weights;
  for (size_t i = 0; i < count; ++i) weights.push_back(all[static_cast<size_t>(order[i])]);
  if (router.scoring == Scoring::kSoftmaxOfChosen) Softmax(weights);
  if (router.normalised) {
    double sum = 0.0;
    for (const float weight : weights) sum += static_cast<double>(weight);
    // As small as the smallest normal half-precision number, so that no weight is infinite.
    sum = std::max(sum, 6.103515625e-5);
    for (float& weight : weights) weight = static_cast<float>(static_cast<double>(weight) / sum);
  }
  for (size_t i = 0; i < count; ++i) choices[i] = {order[i], weights[i] * router.scale};
}

void ExpertsBlock::Activate(const Step& step, size_t expert, float* gate, float* up) const {
  const size_t at = expert * ffn_dim_;
  if (!weights_.gate_bias.empty()) AddTo(gate, weights_.gate_bias.data() + at, ffn_dim_);
  if (!weights_.up_bias.empty()) AddTo(up, weights_.up_bias.data() + at, ffn_dim_);
  Gate(step.Computed(options_.activation), gate, up, ffn_dim_);
}

void ExpertsBlock::RunExpert(Step& step, size_t expert, std::span<const size_t> slots, const Rows& in) const {
  ExpertRows& rows = step.GetBuffers().Of<ExpertRows>();
  const size_t dim = in.Width();
  const auto num_chosen = static_cast<size_t>(router_.num_chosen);
  rows.gathered.Resize(slots.size(), dim);
  for (size_t i = 0; i < slots.size(); ++i) {
    std::copy_n(in[slots[i] / num_chosen], dim, rows.gathered[i]);
    if (options_.weighs_inputs) Scale(rows.gathered[i], rows.choices[slots[i]].weight, dim);
  }
  rows.gate.Resize(slots.size(), ffn_dim_);
  rows.up.Resize(slots.size(), ffn_dim_);
  const Product products[] = {{GateOf(expert), rows.gate[0], ffn_dim_}, {UpOf(expert), rows.up[0], ffn_dim_}};
  MatMul(rows.gathered[0], slots.size(), dim, dim, products, step.GetBuffers().matmul, step.Pool());
  for (size_t i = 0; i < slots.size(); ++i) Activate(step, expert, rows.gate[i], rows.up[i]);
  rows.results.Resize(slots.size(), dim);
  const Product down{DownOf(expert), rows.results[0], dim};
  MatMul(rows.gate[0], slots.size(), ffn_dim_, ffn_dim_, {&down, 1}, step.GetBuffers().matmul, step.Pool());
  for (size_t i = 0; i < slots.size(); ++i) std::copy_n(rows.results[i], dim, rows.of_slots[slots[i]]);
}

// The experts of a single row read the same input: one product for all of them, with one barrier for the
// threads.
void ExpertsBlock::RunOneRow(Step& step, const Rows& in) const {
  ExpertRows& rows = step.GetBuffers().Of<ExpertRows>();
  const size_t count = rows.choices.size();
  rows.gate.Resize(count, ffn_dim_);
  rows.up.Resize(count, ffn_dim_);
  std::vector<Product> products;
  for (size_t i = 0; i < count; ++i) {
    const auto expert = static_cast<size_t>(rows.choices[i].expert);
    products.push_back({GateOf(expert), rows.gate[i], ffn_dim_});
    products.push_back({UpOf(expert), rows.up[i], ffn_dim_});
  }
  step.Multiply(in, products);
  for (size_t i = 0; i < count; ++i) {
    const auto expert = static_cast<size_t>(rows.choices[i].expert);
    Activate(step, expert, rows.gate[i], rows.up[i]);
    const Product down{DownOf(expert), rows.of_slots[i], in.Width()};
    MatMul(rows.gate[i], 1, ffn_dim_, ffn_dim_, {&down, 1}, step.GetBuffers().matmul, step.Pool());
  }
}

void ExpertsBlock::Finish(Step& step, const Rows& stream, Rows& out) const {
  ExpertRows& rows = step.GetBuffers().Of<ExpertRows>();
  const size_t dim = stream.Width();
  const auto num_chosen = static_cast<size_t>(router_.num_chosen);
  rows.scores.Resize(step.NumRows(), NumExperts());
  const Product scores{weights_.router, rows.scores[0], NumExperts()};
  step.Multiply(Normed(step, weights_.router_norm, stream, rows.normed), {&scores, 1});
  AddBias(step, weights_.router_bias, rows.scores);
  const Rows& in = Normed(step, weights_.input_norm, stream, rows.normed);
  rows.choices.resize(step.NumRows() * num_chosen);
  for (size_t r = 0; r < step.NumRows(); ++r) {
    Choose(router_, weights_.selection_bias, rows.scores[r], &rows.choices[r * num_chosen]);
  }
  rows.of_slots.Resize(rows.choices.size(), dim);
  if (step.NumRows() == 1 && !options_.weighs_inputs) {
    RunOneRow(step, in);
  } else {
    SortSlots(NumExperts(), rows);
    for (size_t expert = 0; expert < NumExperts(); ++expert) {
      const size_t first = rows.first_slots[expert];
      const size_t count = rows.first_slots[expert + 1] - first;
      if (count > 0) RunExpert(step, expert, std::span(rows.slots).subspan(first, count), in);
    }
  }
  step.ForRows(dim * num_chosen / 4, [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      std::fill_n(out[r], dim, 0.0f);
      for (size_t slot = r * num_chosen; slot < (r + 1) * num_chosen; ++slot) {
        const auto expert = static_cast<size_t>(rows.choices[slot].expert);
        float* result = rows.of_slots[slot];
        if (!weights_.down_bias.empty()) AddTo(result, weights_.down_bias.data() + expert * dim, dim);
        const float weight = options_.weighs_inputs ? 1.0f : rows.choices[slot].weight;
        if (weight != 1.0f) Scale(result, weight, dim);
        AddTo(out[r], result, dim);
      }
    }
  });
}

}  // namespace throng::model
