// NVRTC declares printf itself. A kernel that calls it compiles and is then refused by the screen with a remedy.
#pragma once
