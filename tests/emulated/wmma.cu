// wmma of every type: A (m x k by rows), then B (n x k by rows) in x; C by rows in y. For test_matrix_rows.py.
#include <cuda_fp16.h>
#include <mma.h>

using namespace nvcuda;

template <int M, int N, int K, class T, class Sum>
__device__ void product(const T* x, Sum* y) {
    wmma::fragment<wmma::matrix_a, M, N, K, T, wmma::row_major> a;
    wmma::fragment<wmma::matrix_b, M, N, K, T, wmma::col_major> b;
    wmma::fragment<wmma::accumulator, M, N, K, Sum> c;
    wmma::fill_fragment(c, (Sum)0);
    wmma::load_matrix_sync(a, x, K);
    wmma::load_matrix_sync(b, x + M * K, K);
    wmma::mma_sync(c, a, b, c);
    wmma::store_matrix_sync(y, c, N, wmma::mem_row_major);
}

extern "C" __global__ void half_float(const half* x, float* y) { product<16, 16, 16>(x, y); }
extern "C" __global__ void half_half(const half* x, half* y) { product<32, 8, 16>(x, y); }
extern "C" __global__ void signed_bytes(const signed char* x, int* y) { product<16, 16, 16>(x, y); }
extern "C" __global__ void unsigned_bytes(const unsigned char* x, int* y) { product<32, 8, 16>(x, y); }
extern "C" __global__ void bytes_wide(const signed char* x, int* y) { product<8, 32, 16>(x, y); }
extern "C" __global__ void doubles(const double* x, double* y) { product<8, 8, 4>(x, y); }

extern "C" __global__ void tf32(const float* x, float* y) {
    wmma::fragment<wmma::matrix_a, 16, 16, 8, wmma::precision::tf32, wmma::row_major> a;
    wmma::fragment<wmma::matrix_b, 16, 16, 8, wmma::precision::tf32, wmma::col_major> b;
    wmma::fragment<wmma::accumulator, 16, 16, 8, float> c;
    wmma::fill_fragment(c, 0.f);
    wmma::load_matrix_sync(a, x, 8);
    wmma::load_matrix_sync(b, x + 128, 8);
    for (int i = 0; i < a.num_elements; i++) a.x[i] = wmma::__float_to_tf32(a.x[i]);
    wmma::mma_sync(c, a, b, c);
    wmma::store_matrix_sync(y, c, 16, wmma::mem_row_major);
}

template <int K, class T>
__device__ void packed(const int* x, int* y) {
    using namespace wmma::experimental;
    wmma::fragment<wmma::matrix_a, 8, 8, K, T, wmma::row_major> a;
    wmma::fragment<wmma::matrix_b, 8, 8, K, T, wmma::col_major> b;
    wmma::fragment<wmma::accumulator, 8, 8, K, int> c;
    wmma::fill_fragment(c, 0);
    wmma::load_matrix_sync(a, x, K);
    wmma::load_matrix_sync(b, x + 32, K);
    if constexpr (K == 32) wmma::mma_sync(c, a, b, c);
    else wmma::bmma_sync(c, a, b, c, bmmaBitOpAND);
    wmma::store_matrix_sync(y, c, 8, wmma::mem_row_major);
}

extern "C" __global__ void nibbles(const int* x, int* y) { packed<32, wmma::experimental::precision::s4>(x, y); }
extern "C" __global__ void single_bits(const int* x, int* y) { packed<128, wmma::experimental::precision::b1>(x, y); }
