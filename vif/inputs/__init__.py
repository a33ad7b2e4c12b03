"""Input from users: pictures, text and boxes, checked and made safe."""
