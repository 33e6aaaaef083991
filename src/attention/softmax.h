// The online softmax of the attention loop, for the rows of one page.
#pragma once

namespace throng::attention {

// The tokens of a page that a row sees: [begin, end).
struct Visible {
  int begin;
  int end;
};

// scores[i] = cap * tanh(scores[i] / cap).  scores: [num_rows, 64]
void CapScores(float cap, int num_rows, float* scores);

// Turns scores, [num_rows, 64], into probabilities relative to the running maximum, exactly 0 where not
// visible. max, sum: [num_rows], running; -inf and 0 before the first page. rescale: [num_rows], the factor
// for each row's output so far; 1 if the row sees nothing of this page. thresholds: [num_rows], of SAS
// (sas.h); null for the exact exponential.
void SoftmaxPage(const Visible* visible, int num_rows, const float* thresholds, float* scores, float* max,
                 float* sum, float* rescale);

// out[i] = in[i] * factor + 0, which leaves no negative zero.
void ScaleRow(const float* in, int size, float factor, float* out);

}  // namespace throng::attention
