# Precompiled headers: what most files include is parsed once for all modules, once for all tests, once for the command line and once for the
# Python package. docs/build.md says what this saves. A target uses one with
#   target_precompile_headers(TARGET REUSE_FROM throng_pch)
set(throng_common_headers <algorithm> <atomic> <chrono> <condition_variable> <cstdint> <filesystem> <functional> <map> <memory> <mutex>
  <optional> <span> <string> <string_view> <thread> <unordered_map> <utility> <vector> <fmt/format.h>
  ${PROJECT_SOURCE_DIR}/src/base/precompiled_json.h)

# throng_precompiled_headers(NAME [HEADERS <h> ...] [LIBS lib ...] [OPTIONS -flag ...])
function(throng_precompiled_headers name)
  cmake_parse_arguments(ARG "" "" "HEADERS;LIBS;OPTIONS" ${ARGN})
  file(WRITE ${CMAKE_BINARY_DIR}/${name}.cc "")
  add_library(${name} OBJECT ${CMAKE_BINARY_DIR}/${name}.cc)
  target_link_libraries(${name} PRIVATE throng_options fmt::fmt nlohmann_json::nlohmann_json ${ARG_LIBS})
  target_compile_options(${name} PRIVATE ${ARG_OPTIONS})
  target_precompile_headers(${name} PRIVATE ${throng_common_headers} ${ARG_HEADERS})
endfunction()
throng_precompiled_headers(throng_pch)
throng_precompiled_headers(throng_cli_pch HEADERS ${PROJECT_SOURCE_DIR}/src/cli/cli11.h LIBS CLI11::CLI11)
throng_precompiled_headers(throng_test_pch HEADERS <gtest/gtest.h> <gmock/gmock.h> LIBS GTest::gtest_main GTest::gmock
  OPTIONS ${throng_test_options})
