# cmake -DSOURCE=folder -DOUT=file -P source_commit.cmake: writes the commit of a source tree as a string for C++, "unknown" outside of a
# repository. The file changes only if the commit does.
find_program(git git)
set(commit unknown)
if(git)
  execute_process(COMMAND ${git} -C ${SOURCE} rev-parse --verify HEAD OUTPUT_VARIABLE head OUTPUT_STRIP_TRAILING_WHITESPACE
    ERROR_QUIET RESULT_VARIABLE failed)
  execute_process(COMMAND ${git} -C ${SOURCE} status --porcelain --untracked-files=no OUTPUT_VARIABLE changes ERROR_QUIET)
  # A tree that was unpacked somewhere inside of another repository has none of its own.
  execute_process(COMMAND ${git} -C ${SOURCE} ls-files CMakeLists.txt OUTPUT_VARIABLE listed ERROR_QUIET)
  if(NOT failed AND listed)
    set(commit ${head})
    if(changes)
      string(APPEND commit " with changes")
    endif()
  endif()
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "\"${commit}\"\n")
