// All kernels of kernel_list.h, for the two files that make functions of them.
#pragma once

#include "device/kernels/append.h"
#include "device/kernels/decode.h"
#include "device/kernels/flashq_page.h"
#include "device/kernels/flashq_seal.h"
#include "device/kernels/gear_page.h"
#include "device/kernels/gear_seal.h"
#include "device/kernels/half_page.h"
#include "device/kernels/int8_page.h"
#include "device/kernels/kernel_list.h"
#include "device/kernels/prefill.h"
#include "device/kernels/products.h"
#include "device/kernels/rot_page.h"
#include "device/kernels/rot_seal.h"
#include "device/kernels/rot_tiles.h"
#include "device/kernels/rows.h"
#include "device/kernels/sample.h"
