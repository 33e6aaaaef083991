#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace throng {

void CheckFailed(const char* file, int line, const char* expression) {
  std::fprintf(stderr, "%s:%d: bug in throng: %s does not hold\n", file, line, expression);
  std::abort();
}

}  // namespace throng
