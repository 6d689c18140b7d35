// Stands before CCCL's header of this name. CCCL 13.0 waits for a cuda::barrier with a poll that reads
// %globaltimer even where no time limit was given, and kernels that read clocks are refused: without a limit,
// poll without a clock.
#pragma once

#define __cccl_thread_poll_with_backoff __ws_thread_poll_with_clock
#include <cccl/cuda/std/__thread/threading_support.h>
#undef __cccl_thread_poll_with_backoff

_LIBCUDACXX_BEGIN_NAMESPACE_STD

template <class _Fn>
_LIBCUDACXX_HIDE_FROM_ABI bool __cccl_thread_poll_with_backoff(
    _Fn&& __f, _CUDA_VSTD::chrono::nanoseconds __max = _CUDA_VSTD::chrono::nanoseconds::zero()) {
    if (__max == _CUDA_VSTD::chrono::nanoseconds::zero()) {
        while (!__f()) {
        }
        return true;
    }
    return __ws_thread_poll_with_clock(__f, __max);
}

_LIBCUDACXX_END_NAMESPACE_STD
