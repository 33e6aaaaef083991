// Attention in double precision over decoded pages: the specification of the kernels. Slow.
#pragma once

#include "attention/attention.h"

namespace throng::attention {

// Does what Attend does. Applies SAS page by page, because its result depends on the running maximum.
void AttendReference(const AttentionJob& job);

}  // namespace throng::attention
