"""Report of newer versions of libraries and images, and pinning of images by digest."""
