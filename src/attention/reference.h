// Attention in double precision over decoded pages: the specification of the kernels. Slow.
#pragma once

#include "attention/attention.h"

namespace throng::attention {

// As Attend.
void AttendReference(const AttentionJob& job);

}  // namespace throng::attention
