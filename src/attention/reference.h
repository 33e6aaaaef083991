// Attention in double precision over decoded pages: the specification of the kernels. Slow.
#pragma once

#include "attention/attention.h"

namespace throng::attention {

// As Attend. The SAS of scores goes page by page, as its result depends on the running maximum.
void AttendReference(const AttentionJob& job);

}  // namespace throng::attention
